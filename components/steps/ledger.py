"""What a tuning step has settled, read from the tables again and again while its workers run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from components.steps.preparation import PrepareItem
from components.steps.step import Outcome
from components.storage.schemas import CONTENT
from components.storage.store import Store
from components.storage.tables import Row, list_parts, read_commits
from methods.method import ADAPTER, LATENTS

StageId = tuple[str, str, str, str]
"""Video, and the stage's kind, key and name."""


class Ledger:
    """Follows the tables: with the last row that an item wants, or its failure, it is settled."""

    def __init__(
        self, store: Store, items: Iterable[PrepareItem] = (), *, since: int | None = None
    ) -> None:
        """Follow a store's tables.

        Args:
            store: The run's store.
            items: Those whose outcomes are wanted; with any, other videos' rows are not kept.
            since: Nanoseconds since the epoch; what was committed before is not read.
        """
        self._store = store
        self._since = since
        self._known: dict[str, set[str]] = {}
        self._made: dict[StageId, Row] = {}
        self._attempts: dict[tuple[str, str], int] = {}
        self._seconds: dict[StageId, float] = {}
        self._waiting: dict[str, dict[str, PrepareItem]] = {}
        for item in items:
            self._waiting.setdefault(item.video_id, {})[item.item_key] = item
        self._videos = frozenset(self._waiting)

    def poll(self) -> list[Outcome]:
        """Read parts that are new since the last call."""
        outcomes = []
        for video_id in dict.fromkeys(row["video_id"] for row in self._read_stages()):
            for key, item in list(self._waiting.get(video_id, {}).items()):
                if self._is_done(item):
                    del self._waiting[video_id][key]
                    # With the time of the tuning, unless that was done in an earlier run.
                    seconds = sum(self._seconds[one] for one in _ids(item))
                    outcomes.append(Outcome(video_id, None, seconds))
        for row in self._new_rows("failures", None):
            if row["step"] == "tune":
                outcomes += self._failed(row)
        return outcomes

    def _failed(self, row: Row) -> list[Outcome]:
        video_id, key = row["video_id"], row["item_key"]
        self._attempts[video_id, key] = row["attempt"]
        outcomes = []
        for name, item in list(self._waiting.get(video_id, {}).items()):
            if key in _work_keys(item) and row["attempt"] >= item.attempt:
                del self._waiting[video_id][name]
                error = f"{row['error_type']}: {row['message']}"
                outcomes.append(Outcome(video_id, None, 0.0, error))
        return outcomes

    def unsettled(self, items: Sequence[PrepareItem]) -> list[PrepareItem]:
        """Items that lack a row and have no failure of the present attempt."""
        return [item for item in items if not self._is_done(item) and not self._has_failed(item)]

    def _has_failed(self, item: PrepareItem) -> bool:
        """Whether one of its stages failed at the present attempt."""
        tries = (self._attempts.get((item.video_id, key), 0) for key in _work_keys(item))
        return any(attempt >= item.attempt for attempt in tries)

    def with_made(self, item: PrepareItem) -> PrepareItem:
        """The item without the stages that a worker that died since has committed."""
        made = [row | self._made[one] for row, one in _stages(item) if one in self._made]
        left = [row for row, one in _stages(item) if one not in self._made]
        return dataclasses.replace(item, wanted=left, made=[*item.made, *made])

    def _is_done(self, item: PrepareItem) -> bool:
        return all(one in self._made for one in _ids(item))

    def _read_stages(self) -> Iterator[Row]:
        """New rows of all stages' tables, noted."""
        tables = {
            "adapters": ("adapter_key", "uri", "sha256"),
            "latents": ("adapter_key", "inversion"),
            "artefacts": ("artefact_key", "kind", "uri", "sha256"),
        }
        for table, columns in tables.items():
            wanted = ("video_id", "seconds", *columns, CONTENT[table])
            for row in self._new_rows(table, wanted):
                if self._videos and row["video_id"] not in self._videos:
                    continue
                one = _stage_id(table, row)
                if row[CONTENT[table]] is None:  # withdrawn: to be done anew
                    self._made.pop(one, None)
                    continue
                objects = ("uri", "sha256", "part")
                self._made[one] = {name: row[name] for name in objects if name in row}
                self._seconds[one] = row["seconds"]
                yield row

    def _new_rows(self, table: str, columns: Sequence[str] | None) -> Iterator[Row]:
        if (known := self._known.get(table)) is None:
            known = self._known[table] = set()
            if self._since is not None:
                # Merged parts' names sort first, and no step merges while it is at work.
                before = f"part-{self._since:020d}"
                known |= {name for name, _ in list_parts(self._store, table) if name < before}
        for path, rows in read_commits(self._store, table, columns, known):
            for row in rows:
                yield row | ({"part": path} if table == "latents" else {})


def _stage_id(table: str, row: Row) -> StageId:
    if table == "artefacts":
        return row["video_id"], row["kind"], row["artefact_key"], ""
    kind = ADAPTER if table == "adapters" else LATENTS
    return row["video_id"], kind, row["adapter_key"], row.get("inversion", "")


def _stages(item: PrepareItem) -> list[tuple[Row, StageId]]:
    return [(row, (item.video_id, row["kind"], row["key"], row["name"])) for row in item.wanted]


def _ids(item: PrepareItem) -> list[StageId]:
    return [one for _, one in _stages(item)]


def _work_keys(item: PrepareItem) -> list[str]:
    return [row["work_key"] for row in item.wanted]
