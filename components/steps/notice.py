"""What tells a tuning worker that it will be stopped: SIGTERM, or Ray that drains its node.

A worker with a long stage in hand puts its state into the store and ends by itself; one without
ends at once, as Ray would have it.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

logger = logging.getLogger(__name__)

_DRAIN_SECONDS = 5.0
"""Between looks at whether Ray drains the node: each asks an actor."""
_given = threading.Event()
_at_work = threading.Event()
_former: Callable[[int, FrameType | None], Any] | int | None = None
_drains: Callable[[], bool] | None = None


class Preempted(BaseException):
    """The worker was told to stop, and its state is in the store.

    No ``Exception``, since methods' own errors are caught, and their code may catch those.
    """


def heed_sigterm() -> None:
    """Take SIGTERM for a notice from now on; only a process's main thread may say so."""
    global _former  # noqa: PLW0603 - a process has one handler
    if threading.current_thread() is not threading.main_thread():
        logger.warning("SIGTERM will end this worker at once: this is not its main thread")
        return
    former = signal.signal(signal.SIGTERM, _on_sigterm)
    if former is not _on_sigterm:
        _former = former


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    _given.set()
    if _at_work.is_set():
        return
    if callable(_former):
        _former(number, frame)
    else:
        sys.exit(128 + number)


@contextmanager
def long_work() -> Iterator[None]:
    """Work that asks for notices and ends by itself when one is given."""
    _at_work.set()
    try:
        yield
    finally:
        _at_work.clear()


def heed_draining(drains: Callable[[], bool]) -> None:
    """Also take it for a notice when this says that the node will go."""
    global _drains  # noqa: PLW0603 - likewise
    _drains = drains


class Notices:
    """Asks whether the worker is about to be stopped."""

    def __init__(self) -> None:
        self._looked = time.monotonic()

    def given(self) -> bool:
        """Whether it is; to be asked as often as one likes."""
        now = time.monotonic()
        if _drains is not None and not _given.is_set() and now - self._looked >= _DRAIN_SECONDS:
            self._looked = now
            try:
                drains = _drains()
            except Exception as error:  # noqa: BLE001 - whatever Ray cannot say just now
                logger.warning("cannot ask whether this node is drained: %s", error)
                drains = False
            if drains:
                logger.warning("Ray drains this node")
                _given.set()
        return _given.is_set()
