"""Rows that are committed together: few parts where items are quick, one each where they are slow.

A crash costs what was computed and not yet committed. That is bounded twice: by a number of rows,
and by seconds of work, so that an item of minutes is committed as soon as it is done.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from components.errors import TransientError
from components.storage.schemas import SCHEMAS
from components.storage.store import Store
from components.storage.tables import Row, append_rows

logger = logging.getLogger(__name__)

MAX_ROWS = 500
"""Rows that wait at most."""
MAX_SECONDS = 10.0
"""Seconds of work that wait at most: a crash loses no more of what was done."""


class RowWriter:
    """Takes rows of any table and commits them in batches."""

    def __init__(
        self, store: Store, *, max_rows: int = MAX_ROWS, max_seconds: float = MAX_SECONDS
    ) -> None:
        self._store = store
        self._max_rows = max_rows
        self._max_seconds = max_seconds
        self._waiting: dict[str, list[Row]] = {}
        self._began = time.monotonic()

    @contextmanager
    def work(self) -> Iterator[None]:
        """Work whose rows are all committed when it ends, also where a defect ends it."""
        self._began = time.monotonic()
        try:
            yield
        finally:
            self.flush()

    def add(self, table: str, row: Row) -> None:
        """Let a row wait. What it names must be stored already."""
        self._waiting.setdefault(table, []).append(row)

    def flush_due(self) -> bool:
        """Commit what waits when that is many rows or much work. To be called after each item.

        Returns:
            Whether all went well. If the store does not answer, the rows go on waiting.
        """
        rows = sum(map(len, self._waiting.values()))
        if rows >= self._max_rows or time.monotonic() - self._began >= self._max_seconds:
            try:
                self.flush()
            except TransientError as error:
                logger.warning("%d row(s) are not committed yet: %s", rows, error)
                return False
        return True

    def flush(self) -> None:
        """Commit what waits, one part for each table.

        Raises:
            TransientError: the store does not answer; what is not committed goes on waiting.
            ValueError: a row does not fit its table, a defect; all others are committed.
        """
        for table in [table for table in SCHEMAS if table in self._waiting]:  # as steps write them
            self._append(table, self._waiting[table])
            del self._waiting[table]
        self._began = time.monotonic()

    def _append(self, table: str, rows: list[Row]) -> None:
        try:
            append_rows(self._store, table, rows)
        except ValueError:
            if len(rows) == 1:
                raise
        else:
            return
        wrong: ValueError | None = None
        for row in rows:
            try:
                append_rows(self._store, table, [row])
            except ValueError as error:
                wrong = error
        if wrong is not None:
            raise wrong
