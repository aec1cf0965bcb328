"""A way to stop the main thread, which may wait for a worker for hours."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import NoReturn

_SIGNAL = signal.SIGUSR1
"""Not SIGINT: a shell starts programs in the background with that ignored."""


def interrupter() -> Callable[[], None]:
    """What another thread calls to raise KeyboardInterrupt in this one.

    Python can interrupt the main thread alone; made in another one, it does nothing.
    """
    thread = threading.current_thread()
    if thread is not threading.main_thread():
        return lambda: None
    signal.signal(_SIGNAL, _interrupt)
    number = thread.ident
    assert number is not None  # it runs
    return lambda: signal.pthread_kill(number, _SIGNAL)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
