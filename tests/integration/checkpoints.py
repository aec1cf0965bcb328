"""Watches the checkpoints in a folder: how far each tuning got, and never back."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from safetensors import SafetensorError, safe_open


class Watch:
    """Notes the steps of all checkpoints as they come, inside ``with``."""

    def __init__(self, folder: Path, on_step: Callable[[str, int], None] | None = None) -> None:
        """Prepare.

        Args:
            folder: A run's ``checkpoints``, or a node's own.
            on_step: Called with a tuning's key and its step whenever a checkpoint was written.
        """
        self._folder = folder
        self._on_step = on_step
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.steps: dict[str, list[int]] = {}
        """The steps of each tuning's checkpoints in the order in which they came, by its key."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.005):
            for path in self._folder.glob("*.safetensors"):
                # It may be gone, since its tuning is finished.
                with contextlib.suppress(OSError, SafetensorError), safe_open(path, "np") as file:
                    self._note(path.stem, int(file.metadata()["step"]))

    def _note(self, key: str, step: int) -> None:
        steps = self.steps.setdefault(key, [])
        if steps[-1:] != [step]:
            steps.append(step)
            if self._on_step is not None:
                self._on_step(key, step)
