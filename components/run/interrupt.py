"""A way to stop the main thread, which may wait for a worker for hours."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable


def interrupter() -> Callable[[], None]:
    """What another thread calls to raise KeyboardInterrupt in this one.

    Python can interrupt the main thread alone; made in another one, it does nothing.
    """
    thread = threading.current_thread()
    number = thread.ident if thread is threading.main_thread() else None

    def interrupt() -> None:
        if number is not None:
            signal.pthread_kill(number, signal.SIGINT)

    return interrupt
