"""Rank correlation between measures over variants: which measure can be trusted, and for what?

A measure that puts methods in the order in which a trusted one puts them can stand in for it.
Shape legend: V videos, M variants.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from eval.bootstrap import Floats, Interval
from eval.errors import EvalError
from eval.pivot import Kind, Table
from eval.protocols.registry import measure_of, shown
from eval.values import Value

RESAMPLES = 2000
_SEED = 0
_TAILS = (0.025, 0.975)
_FEWEST = 4
"""Variants: three have only six orders."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Correlation:
    """Spearman's correlation of two measures over variants, signed so that 1 is agreement.

    Lower values of a measure that is better when low count as higher ones.
    """

    measure: Kind
    with_measure: Kind
    variants: int
    """That have both."""
    rho: Interval
    """Of the variants' means, with a 95 % bootstrap interval over videos."""


def correlations(values: Iterable[Value], trusted: str) -> tuple[Correlation, ...]:
    """Correlate every measure with each one of a trusted protocol.

    A variant's value is the mean over videos of their edits' means (see ``eval.compare``); a
    resample draws videos, the same ones for both measures.

    Args:
        values: In any order.
        trusted: The protocol, such as ``tinyworld_v2``.

    Returns:
        By measure, then by the trusted protocol's; pairs whose variants' means are all equal in one
        of the two are left out, as they order nothing.

    Raises:
        EvalError: no value is of that protocol, or fewer than 4 variants have both of any pair.
    """
    table = Table.of(values)
    kinds = sorted(table.columns, key=kind_order)
    truths = [kind for kind in kinds if kind[0] == trusted]
    if not truths:
        held = ", ".join(sorted({protocol for protocol, *_ in kinds if protocol}))
        raise EvalError(f"no score is of protocol {trusted!r}: there are {held or 'none'}")
    means = {kind: _means(table, kind) for kind in kinds}
    pairs = [(one, truth) for one in kinds if one[0] != trusted for truth in truths]
    found = [one for pair in pairs if (one := _correlation(means, *pair)) is not None]
    if not found:
        raise EvalError(
            f"a rank correlation is over {_FEWEST} variants or more that have both measures: "
            "compare as many"
        )
    return tuple(found)


def kind_order(kind: Kind) -> tuple[bool, str, str, int]:
    """Where a measure stands among others: by protocol and judge, as its protocol orders it."""
    protocol, judge, measure = kind
    return not protocol, protocol, judge, shown(protocol, [measure]).index(measure)


def _means(table: Table, kind: Kind) -> dict[str, Floats]:
    """By variant each video's mean, (V,), NaN where it has none; greater is better."""
    sign = -1 if measure_of(kind[0], kind[2]).lower_is_better else 1
    count = int(table.videos_E.max(initial=-1)) + 1
    found = {}
    for variant, values_E in table.columns[kind].items():
        there = ~np.isnan(values_E)
        videos = table.videos_E[there]
        sums = np.bincount(videos, values_E[there], count)
        times = np.bincount(videos, minlength=count)
        found[variant] = sign * np.where(times > 0, sums / np.maximum(times, 1), np.nan)
    return found


def _correlation(
    means: dict[Kind, dict[str, Floats]], one: Kind, other: Kind
) -> Correlation | None:
    names = [name for name in means[one] if name in means[other]]
    if len(names) < _FEWEST:
        return None
    both = [_stack(means[kind], names) for kind in (one, other)]
    rho = spearman(*(_mean(values_MV) for values_MV in both))
    if rho is None:
        return None
    videos = both[0].shape[1]
    low, high = _interval(both, videos) if videos > 1 else (None, None)
    return Correlation(
        measure=one,
        with_measure=other,
        variants=len(names),
        rho=Interval(mean=rho, low=low, high=high),
    )


def _stack(means: dict[str, Floats], names: Sequence[str]) -> Floats:
    return np.stack([means[name] for name in names])


def _mean(values_MV: Floats) -> Floats:
    """Of each variant, over the videos that it has."""
    there = ~np.isnan(values_MV)
    sums = np.where(there, values_MV, 0).sum(axis=1)
    return np.asarray(np.where(there.any(axis=1), sums / np.maximum(there.sum(axis=1), 1), np.nan))


def _interval(both: Sequence[Floats], videos: int) -> tuple[float | None, float | None]:
    rng = np.random.default_rng(_SEED)
    drawn = (rng.integers(0, videos, videos) for _ in range(RESAMPLES))
    rhos = [spearman(*(_mean(values[:, picks]) for values in both)) for picks in drawn]
    known = [rho for rho in rhos if rho is not None]
    if len(known) < 2:  # noqa: PLR2004 - two ends
        return None, None
    low, high = np.quantile(known, _TAILS)
    return float(low), float(high)


def spearman(one_M: Floats, other_M: Floats) -> float | None:
    """Pearson's correlation of ranks, equal values sharing theirs; none where one is constant."""
    there = ~(np.isnan(one_M) | np.isnan(other_M))
    one, other = _ranks(one_M[there]), _ranks(other_M[there])
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:  # noqa: PLR2004 - an order
        return None
    return float(np.corrcoef(one, other)[0, 1])


def _ranks(values: Floats) -> Floats:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[places])
