"""Small parts of tables are merged while a long flow goes on, beside its loop."""

from __future__ import annotations

import threading
import time

from components.storage.compact import compact_grown
from components.storage.store import Store

_PAUSE = 1800.0
"""Seconds from one time to the next: a shorter run is compacted at its end alone."""


class Tidying:
    """Compacts a run's tables now and then: whoever reads or writes them notices nothing of it."""

    def __init__(self, store: Store, pause: float = _PAUSE) -> None:
        """Begin nothing yet.

        Args:
            store: The run's store.
            pause: Seconds from one time to the next.
        """
        self._store, self._pause = store, pause
        self._due = time.monotonic() + pause
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def tick(self) -> None:
        """Begin where it is due and nothing of it is at work.

        Raises:
            UserError: a part is damaged or of another version of the tables.
        """
        if self._error is not None:
            raise self._error
        if time.monotonic() < self._due or (self._thread and self._thread.is_alive()):
            return
        self._thread = threading.Thread(target=self._compact, daemon=True)
        self._thread.start()
        self._due = time.monotonic() + self._pause

    def close(self) -> None:
        """Wait for what is at work."""
        if self._thread:
            self._thread.join()

    def _compact(self) -> None:
        try:
            compact_grown(self._store)
        except Exception as error:  # noqa: BLE001 (raised where the loop is)
            self._error = error
