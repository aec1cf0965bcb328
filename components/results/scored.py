"""Edits with their scores, by variant: what every view of a run's results shows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from components.storage.store import Store
from components.storage.tables import Row, read_table

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
    variants = by_variant(chosen)
    edits = sorted(read_table(store, "edits"), key=lambda row: (row["video_id"], row["edit_id"]))
    scores: dict[tuple[str, str], list[Row]] = {}
    for row in read_table(store, "scores"):
        scores.setdefault((row["edit_id"], row["edit_key"]), []).append(row)
    found = [
        ScoredEdit(
            variant=name,
            method=row.get("method") or _FIRST_METHOD,
            edit=row,
            scores=_latest(scores.get((row["edit_id"], row["edit_key"]), []), selection.score_keys),
        )
        for name, selection in variants.items()
        for row in edits
        if selection.has(row)
    ]
    # The sort is stable: variants keep their order.
    return sorted(found, key=lambda one: (one.edit["video_id"], one.edit["edit_id"]))


def _latest(scores: Collection[Row], score_keys: Collection[str] | None) -> tuple[Row, ...]:
    latest = {
        (row["protocol"], row["score_model"], row["score_revision"]): row
        for row in scores
        if score_keys is None or row["score_key"] in score_keys
    }
    return tuple(latest[key] for key in sorted(latest))
