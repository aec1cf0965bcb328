"""Means with 95 % bootstrap intervals. Videos are drawn, not edits: those of one are alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES = 10_000
_SEED = 0
_CONFIDENCE = 0.95
_TAIL = (1 - _CONFIDENCE) / 2
_DRAWN_AT_ONCE = 2_000_000
"""Numbers: 16 MB each for the draws and for what they pick."""

_PICKED = 500
"""Of more videos than this the means are a product of matrices: another order of summing, some
times as quick."""

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A mean over videos and where it might as well lie."""

    mean: float
    low: float | None
    """None, as is ``high``, of fewer than two videos: one says nothing about others."""
    high: float | None

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference of this size is more than chance would make of none."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def video_means(values_E: Floats, videos_E: Codes) -> Floats:
    """Each video's mean over its edits, in the order of the videos.

    Args:
        values_E: Of each edit, shape (E,); NaN is left out.
        videos_E: The video of each, shape (E,), in ascending order.
    """
    there = ~np.isnan(values_E)
    values, videos = values_E[there], videos_E[there]
    starts = np.flatnonzero(np.diff(videos, prepend=-1))
    counts = np.diff(starts, append=len(values))
    means = np.empty(len(starts))
    for count in np.unique(counts):
        alike = counts == count
        means[alike] = values[starts[alike, None] + np.arange(count)].mean(axis=1)
    return means


def intervals(samples: Sequence[Floats]) -> list[Interval | None]:
    """Means with their percentile bootstrap intervals.

    Samples of one size share their draws, which are the same for a size each time.

    Args:
        samples: Of each, a number for each video, shape (videos,); every video weighs the same.

    Returns:
        One for each sample; none for an empty one.
    """
    by_size: dict[int, list[int]] = defaultdict(list)
    for place, sample in enumerate(samples):
        by_size[len(sample)].append(place)
    found: list[Interval | None] = [None] * len(samples)
    for size, places in by_size.items():
        ends = _ends([samples[place] for place in places], size) if size > 1 else None
        for row, place in enumerate(places):
            if size:
                low, high = (None, None) if ends is None else map(float, ends[:, row])
                mean = float(samples[place].mean())
                found[place] = Interval(mean=mean, low=low, high=high)
    return found


def _ends(samples: Sequence[Floats], size: int) -> Floats:
    """Low and high ends of samples of one size: shape (2, samples)."""
    rng = np.random.default_rng(_SEED)
    samples_SV = np.stack(samples)
    means_SR = np.empty((len(samples), RESAMPLES))
    step = max(1, _DRAWN_AT_ONCE // size)
    for start in range(0, RESAMPLES, step):
        stop = min(start + step, RESAMPLES)
        drawn_RV = rng.integers(0, size, (stop - start, size))
        if size <= _PICKED:
            for row, sample in enumerate(samples_SV):
                means_SR[row, start:stop] = sample[drawn_RV].mean(axis=1)
        else:
            times_RV = np.stack([np.bincount(one, minlength=size) for one in drawn_RV])
            means_SR[:, start:stop] = samples_SV @ times_RV.T.astype(np.float64) / size
    return _quantiles(means_SR)


def _quantiles(means_SR: Floats) -> Floats:
    """Both tails' ends, each between the two nearest means: shape (2, samples)."""
    ordered_SR = np.sort(means_SR, axis=1)
    places = (RESAMPLES - 1) * np.array([_TAIL, 1 - _TAIL])
    below = places.astype(np.intp)
    share = places - below
    ends_S2 = (1 - share) * ordered_SR[:, below] + share * ordered_SR[:, below + 1]
    ends: Floats = ends_S2.T
    return ends
