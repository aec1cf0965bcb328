"""What a tuning step has settled, read from the tables again and again while its shards run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from components.steps.step import Outcome
from components.steps.tune import TuneItem
from components.storage.schemas import CONTENT
from components.storage.store import Store
from components.storage.tables import Row, read_commits


class Ledger:
    """Follows the tables: a new row of `latents` or `failures` is an outcome of this step."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, set[str]] = {}
        self._done: set[tuple[str, str, str]] = set()
        self._attempts: dict[tuple[str, str], int] = {}
        self._tuned: dict[str, float] = {}
        self._adapters: dict[tuple[str, str], Row] = {}

    def poll(self) -> list[Outcome]:
        """Read parts that are new since the last call."""
        outcomes = []
        columns = ("adapter_key", "uri", "sha256")
        for row in self._new_rows("adapters", ("video_id", "seconds", *columns)):
            self._tuned[row["adapter_key"]] = row["seconds"]
            reference = {name: row[name] for name in columns}
            self._adapters[row["video_id"], row["adapter_key"]] = reference
        names = ("video_id", "adapter_key", "inversion")
        for row in self._new_rows("latents", (*names, "seconds", CONTENT["latents"])):
            if row[CONTENT["latents"]] is None:  # withdrawn: to be done anew
                self._done.discard((row["video_id"], row["adapter_key"], row["inversion"]))
                continue
            self._done.add((row["video_id"], row["adapter_key"], row["inversion"]))
            # With the time of the tuning, unless that was done in an earlier run.
            seconds = row["seconds"] + self._tuned.pop(row["adapter_key"], 0.0)
            outcomes.append(Outcome(row["video_id"], None, seconds))
        for row in self._new_rows("failures", None):
            if row["step"] == "tune":
                self._attempts[row["video_id"], row["item_key"]] = row["attempt"]
                error = f"{row['error_type']}: {row['message']}"
                outcomes.append(Outcome(row["video_id"], None, 0.0, error))
        return outcomes

    def forget(self) -> None:
        """Take all rows so far as old: none of them is an outcome of what begins now."""
        self.poll()
        self._tuned.clear()

    def unsettled(self, items: Sequence[TuneItem]) -> list[TuneItem]:
        """Items that have neither a row nor a failure of the present attempt."""
        return [
            item
            for item in items
            if (item.video_id, item.item_key, item.inversion) not in self._done
            and self._attempts.get((item.video_id, item.item_key), 0) < item.attempt
        ]

    def with_adapter(self, item: TuneItem) -> TuneItem:
        """The item with its adapter when a worker that died since has committed it."""
        adapter = self._adapters.get((item.video_id, item.item_key))
        if adapter is None or adapter["uri"] is None:  # withdrawn
            return item
        return dataclasses.replace(item, adapter=adapter)

    def _new_rows(self, table: str, columns: Sequence[str] | None) -> Iterator[Row]:
        known = self._known.setdefault(table, set())
        for _, rows in read_commits(self._store, table, columns, known):
            yield from rows
