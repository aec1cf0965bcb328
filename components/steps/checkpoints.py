"""A long stage's state: on the node's own disk, and now and then in the run's store.

A worker that dies is mostly taken up again on its node, where the last state costs the store
nothing. What a lost node takes along is bounded by the pace of the uploads; one that is told before
it goes loses a step at most.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from components.errors import UserError
from components.steps.notice import Notices, Preempted
from components.storage.scratch import remove
from components.storage.store import Store

logger = logging.getLogger(__name__)

_STALE_SECONDS = 24 * 3600.0
"""A state on the node's disk that is older was finished elsewhere."""
_LEAST_BYTES = 8
"""A safetensors file begins with the length of its header."""
_MAX_HEADER = 1 << 20
"""Bytes of a safetensors header that are looked at; one of Stable Diffusion's takes 60 kB."""


class StoredCheckpoint:
    """See ``methods.method.Checkpoint``."""

    def __init__(
        self,
        store: Store,
        key: str,
        upload_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Know a stage's checkpoint; nothing is read or written.

        Args:
            store: The run's store.
            key: Content key of the stage.
            upload_seconds: What has to lie between two uploads; 0 uploads each state.
            clock: Seconds; the first upload is due that long after now.
        """
        self._store = store
        self._path = f"checkpoints/{key}.safetensors"
        run = hashlib.sha256(store.root.encode()).hexdigest()[:16]
        self._local = _folder_name() / f"{run}-{key}.safetensors"
        self._upload_seconds = upload_seconds
        self._clock = clock
        self._uploaded = clock()
        self._notices = Notices()

    def read(self, path: Path) -> bool:
        """Fetch the later one of node and store.

        Raises:
            UserError: the node's folder for checkpoints is somebody else's.
        """
        _node_folder()
        here, there = _step(self._local), self._stored_step()
        if here is None and there is None:
            return False
        if there is None or (here is not None and here >= there):
            shutil.copyfile(self._local, path)
            return True
        try:
            self._store.fetch(self._path, path)
        except FileNotFoundError:
            return False
        return True

    def due(self) -> bool:
        """Whether the worker was told to stop: the state is then wanted at once."""
        return self._notices.given()

    def write(self, path: Path) -> None:
        """Keep a state, moving its file away; with a notice, end the worker.

        Raises:
            Preempted: the state is in the store, and the worker has to end.
            UserError: see ``read``.
        """
        _node_folder()
        shutil.move(path, self._local)
        told = self.due()
        if told or self._clock() - self._uploaded >= self._upload_seconds:
            self._store.write_file(self._path, self._local)
            self._uploaded = self._clock()
        if told:
            raise Preempted("the worker was told to stop; its tuning goes on from this very step")

    def delete(self) -> None:
        """Remove the state wherever it is."""
        remove(self._local)
        self._store.delete(self._path)

    def _stored_step(self) -> int | None:
        """The step of the store's state; -1 where that cannot be said, none where there is none."""
        found = self._store.stat(self._path)
        if found is None:
            return None
        if found.size <= _LEAST_BYTES:  # of fewer no range can be asked for
            return -1
        try:
            size = int.from_bytes(self._store.read_range(self._path, 0, 8), "little")
            size = min(max(size, 1), _MAX_HEADER, found.size - _LEAST_BYTES)
            header = self._store.read_range(self._path, 8, 8 + size)
            return _step_of(json.loads(header)["__metadata__"])
        except FileNotFoundError:
            return None
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return -1


def _step(path: Path) -> int | None:
    try:
        with safe_open(path, framework="numpy") as file:
            return _step_of(file.metadata() or {})
    except (OSError, SafetensorError):
        return None


def _step_of(metadata: Any) -> int:
    text = str(metadata.get("step", ""))
    return int(text) if text.isdecimal() else -1


def _folder_name() -> Path:
    return Path(tempfile.gettempdir()) / f"tav-checkpoints-{os.getuid()}"


def _node_folder() -> None:
    """Make this user's folder for checkpoints on this machine's disk; what is stale in it goes.

    Raises:
        UserError: it is somebody else's.
    """
    folder = _folder_name()
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise UserError(
            f"{folder} belongs to user {status.st_uid}, but has to be a folder of user "
            f"{os.getuid()}'s own: remove it, or set TMPDIR to another disk's folder"
        )
    folder.chmod(0o700)
    for path in folder.iterdir():
        try:
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                remove(path)
        except FileNotFoundError:
            continue  # another worker was faster
