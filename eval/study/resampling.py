"""Resamples of a study: what is drawn is drawn with all that belongs to it.

Shape legend: C clusters (videos, raters or units), R resamples.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eval.bootstrap import Floats, Interval

RESAMPLES = 2000
_SEED = 0
_TAILS = (0.025, 0.975)

Counts = npt.NDArray[np.int64]


def times_drawn(clusters: int) -> Counts:
    """How often each cluster is drawn in each resample: shape (R, C), rows sum to C.

    The same for a number of clusters each time.
    """
    rng = np.random.default_rng(_SEED)
    drawn: Counts = rng.multinomial(clusters, np.full(clusters, 1 / clusters), RESAMPLES)
    return drawn


def percentile_interval(mean: float, resampled_R: Floats) -> Interval:
    """A statistic with the middle 95 % of its resamples; NaN among them is left out.

    Args:
        mean: Of the sample itself.
        resampled_R: Shape (any,); fewer than two numbers give no ends.
    """
    known = resampled_R[~np.isnan(resampled_R)]
    if len(known) < 2:  # noqa: PLR2004 - two ends
        return Interval(mean=mean, low=None, high=None)
    low, high = np.quantile(known, _TAILS)
    return Interval(mean=mean, low=float(low), high=float(high))


def percentage(parts_C: Floats, wholes_C: Floats) -> Interval:
    """100 × the sum of parts over the sum of wholes, with a 95 % bootstrap interval over clusters.

    Args:
        parts_C: Of each cluster, shape (C,).
        wholes_C: Likewise; each is above zero.

    Returns:
        Without ends for fewer than two clusters: one says nothing about others.
    """
    mean = float(100 * parts_C.sum() / wholes_C.sum())
    clusters = len(parts_C)
    if clusters < 2:  # noqa: PLR2004
        return Interval(mean=mean, low=None, high=None)
    times_RC = times_drawn(clusters)
    return percentile_interval(mean, 100 * (times_RC @ parts_C) / (times_RC @ wholes_C))
