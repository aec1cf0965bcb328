"""Edits with their scores, by variant: what every view of a run's results shows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.storage.store import Store
from components.storage.tables import Row, read_arrow

_SOME = 5000
"""Edits that are joined at a time."""
UNNAMED = ""
"""The variant of a run that has no variants."""
_FIRST_METHOD = "tune_a_video"
"""Rows of former versions of the tables do not say their method: this was the only one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """The edits and scores of one variant that count now."""

    edit_keys: Collection[str] | None = None
    """None: every row."""
    edit_ids: Collection[str] | None = None
    """Their ids; an edit that was only renamed has two rows of one key."""
    score_keys: Collection[str] | None = None
    """None: every score of those edits."""

    def has(self, edit: Row) -> bool:
        """Whether a row of ``edits`` counts."""
        return (self.edit_keys is None or edit["edit_key"] in self.edit_keys) and (
            self.edit_ids is None or edit["edit_id"] in self.edit_ids
        )


def joined(parts: Sequence[Selection]) -> Selection:
    """What any of several selections has, each of which names its edits and scores."""
    if len(parts) == 1:
        return parts[0]
    return Selection(
        edit_ids=set().union(*(one.edit_ids or () for one in parts)),
        edit_keys=set().union(*(one.edit_keys or () for one in parts)),
        score_keys=set().union(*(one.score_keys or () for one in parts)),
    )


Variants = Mapping[str, Selection]
"""By name, in the order of the configuration: the first is the one others are compared with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredEdit:
    """One edit of one variant. Two variants that computed the same share its rows."""

    variant: str
    method: str
    edit: Row
    """Of ``edits``."""
    scores: tuple[Row, ...]
    """Of ``scores``: the last of each protocol and model, in their order."""


def by_variant(chosen: Selection | Variants) -> Variants:
    """A single selection is that of a run without variants."""
    return {UNNAMED: chosen} if isinstance(chosen, Selection) else chosen


def scored_edits(store: Store, chosen: Selection | Variants) -> list[ScoredEdit]:
    """Join edits and scores of each variant by key, in order of video, edit and variant.

    Args:
        store: The run's store.
        chosen: What counts, of a run without variants or of each variant.
    """
    return list(ScoredEdits(store, chosen))


class ScoredEdits:
    """The same, some at a time: one reading of the tables, to be gone through any number of times.

    Arrow holds the rows in a tenth of the memory that their dictionaries take.
    """

    def __init__(self, store: Store, chosen: Selection | Variants) -> None:
        """See ``scored_edits``."""
        self._variants = by_variant(chosen)
        self._edits = read_arrow(store, "edits").sort_by(
            [("video_id", "ascending"), ("edit_id", "ascending")]
        )
        scores = read_arrow(store, "scores")
        # Edits of one id stand together, and with the first of them their scores.
        first = pc.index_in(scores["edit_id"], value_set=self._edits["edit_id"].combine_chunks())
        places = first.fill_null(-1).to_numpy()
        order = np.argsort(places, kind="stable")
        self._scores, self._places = scores.take(pa.array(order)), places[order]

    def __iter__(self) -> Iterator[ScoredEdit]:
        start = 0
        while start < len(self._edits):
            end = self._end(start)
            # The sort is stable: variants keep their order.
            yield from sorted(self._some(start, end), key=lambda one: _place(one.edit))
            start = end

    def _end(self, start: int) -> int:
        """Where the next edits end: no edit's rows are torn apart."""
        ids, end = self._edits["edit_id"], min(start + _SOME, len(self._edits))
        while end < len(ids) and ids[end] == ids[end - 1]:
            end += 1
        return end

    def _some(self, start: int, end: int) -> list[ScoredEdit]:
        edits = _rows(self._edits, start, end)
        first, last = (int(one) for one in np.searchsorted(self._places, (start, end)))
        scores: dict[tuple[str, str], list[Row]] = {}
        for row in _rows(self._scores, first, last):
            scores.setdefault((row["edit_id"], row["edit_key"]), []).append(row)
        return [
            ScoredEdit(
                variant=name,
                method=row.get("method") or _FIRST_METHOD,
                edit=row,
                scores=_latest(
                    scores.get((row["edit_id"], row["edit_key"]), []), selection.score_keys
                ),
            )
            for name, selection in self._variants.items()
            for row in edits
            if selection.has(row)
        ]


def _rows(table: pa.Table, start: int, end: int) -> list[Row]:
    found: list[Row] = table.slice(start, end - start).to_pylist(maps_as_pydicts="strict")
    return found


def _place(edit: Row) -> tuple[str, str]:
    return edit["video_id"], edit["edit_id"]


def _latest(scores: Collection[Row], score_keys: Collection[str] | None) -> tuple[Row, ...]:
    latest = {
        (row["protocol"], row["score_model"], row["score_revision"]): row
        for row in scores
        if score_keys is None or row["score_key"] in score_keys
    }
    return tuple(latest[key] for key in sorted(latest))
