"""Whether the run's root can be used right now: an object is written, read, found and removed."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

from components.config import RunConfig
from components.doctor.finding import Finding, failed
from components.errors import ItemError, UserError
from components.storage.address import parse_uri
from components.storage.open import open_store
from components.storage.store import Store

_FOLDER = "doctor"


def place(config: RunConfig) -> Iterator[Finding]:
    """Try the run's root; nothing of it is left there."""
    try:
        address = parse_uri(config.run)
        topic, root = ("S3" if address.on_s3 else "folder"), Path(address.location)
        store = open_store(config.run)
    except UserError as error:
        yield failed("store", "run", error)
        return
    absent = [] if address.on_s3 else _absent(root / _FOLDER)
    try:
        yield _tried(topic, store)
    finally:
        for folder in absent:
            with contextlib.suppress(OSError):  # something lies there by now, or nothing at all
                folder.rmdir()


def _tried(topic: str, store: Store) -> Finding:
    path, data = f"{_FOLDER}/{uuid.uuid4().hex}", uuid.uuid4().bytes
    doing = "write"
    try:
        store.write_bytes(path, data)
        doing = "read back"
        same = store.read_bytes(path) == data
        doing = "list"
        listed = any(found.path == path for found in store.list(_FOLDER))
        doing = "delete"
        store.delete(path)
        gone = store.stat(path) is None
    except (ItemError, UserError, OSError) as error:
        if doing != "write":
            with contextlib.suppress(ItemError, UserError, OSError):
                store.delete(path)
        return failed(topic, f"{doing} an object", error)
    if same and listed and gone:
        return Finding(topic, store.root, "an object was written, read back, listed and deleted")
    what = [
        *([] if same else ["what was read is not what was written"]),
        *([] if listed else ["a new object is not listed"]),
        *([] if gone else ["a deleted object is still there"]),
    ]
    return Finding(
        *(topic, store.root, "; ".join(what), "fail"),
        "use a store that shows writes and deletes at once, as S3 and POSIX do",
    )


def _absent(folder: Path) -> list[Path]:
    """A folder and those above it that are not there, the innermost first."""
    path = folder.absolute()
    found = []
    while not path.exists():
        found.append(path)
        path = path.parent
    return found
