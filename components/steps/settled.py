"""What a step has committed since it began, for a worker that takes another's place.

Ray starts a dead actor again and gives it the same task; what was committed of it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.storage.schemas import CONTENT
from components.storage.store import Store
from components.storage.tables import Row, list_parts, read_commits


class Settled:
    """Items with a row or a failure row of their present attempt."""

    def __init__(
        self, store: Store, step: str, table: str, identity: Mapping[str, str], since: int
    ) -> None:
        """Read the step's rows.

        Args:
            store: The run's store.
            step: As in ``failures``.
            table: Where the step's rows are.
            identity: Columns that tell whose row it is, with the item's fields of equal value.
            since: Nanoseconds since the epoch; what was committed before is not read.
        """
        self._fields = tuple(identity.values())
        self._rows: set[tuple[Any, ...]] = set()
        content = CONTENT.get(table)
        for row in _rows_since(store, table, [*identity, *filter(None, [content])], since):
            key = tuple(row[column] for column in identity)
            if content is not None and row[content] is None:  # withdrawn: to be done anew
                self._rows.discard(key)
            else:
                self._rows.add(key)
        columns = ["step", "item_key", "video_id", "edit_id", "attempt"]
        self._failed = {
            (row["item_key"], row["edit_id"] or row["video_id"], row["attempt"])
            for row in _rows_since(store, "failures", columns, since)
            if row["step"] == step
        }

    def __contains__(self, item: Any) -> bool:
        name = getattr(item, "edit_id", None) or item.video_id
        return (
            tuple(getattr(item, field) for field in self._fields) in self._rows
            or (item.item_key, name, item.attempt) in self._failed
        )


def _rows_since(store: Store, table: str, columns: list[str], since: int) -> list[Row]:
    # Merged parts, whose names sort first, are left out too: no step merges while it is at work.
    known = {name for name, _ in list_parts(store, table) if name < f"part-{since:020d}"}
    return [row for _, rows in read_commits(store, table, columns, known) for row in rows]
