"""Means with 95 % bootstrap intervals. Clips are drawn, not edits: those of one clip are alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
_CONFIDENCE = 0.95

EditId = tuple[str, str]
"""A clip's id and an edit's."""
Scores = Mapping[EditId, float]
"""One measure under one variant; an edit without it is not there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A mean and where it might as well lie."""

    mean: float
    low: float
    high: float
    edits: int
    """Edits it stands on."""

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference of this size is more than chance would make of none."""
        return self.low > 0 or self.high < 0


def interval(scores: Scores) -> Interval | None:
    """Mean over clips of each clip's mean, with its percentile bootstrap interval over clips.

    Every clip weighs the same. None for fewer than two clips.
    """
    from scipy.stats import bootstrap  # noqa: PLC0415 - a second that --help need not pay

    by_clip: dict[str, list[float]] = defaultdict(list)
    for (clip, _), value in scores.items():
        by_clip[clip].append(value)
    means = np.array([np.mean(values) for values in by_clip.values()])
    if len(means) < 2:  # noqa: PLR2004 - one clip says nothing about others
        return None
    found = bootstrap(
        (means,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=_CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Interval(
        mean=float(means.mean()), low=float(found.low), high=float(found.high), edits=len(scores)
    )


def difference(one: Scores, other: Scores) -> Interval | None:
    """Interval of the paired difference, one minus other, over the edits that both have."""
    return interval({edit: one[edit] - other[edit] for edit in one.keys() & other.keys()})
