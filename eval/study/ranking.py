"""Strengths of variants by Bradley-Terry with ties, fitted to votes by evalica.

Davidson's model, as Newman fits it (Efficient Computation of Rankings from Pairwise Comparisons,
JMLR 24, 2023): of strengths p and q the first is chosen in proportion to p, the second to q, and a
tie to 2v√(pq), with one v for all. Shape legend: R resamples, V videos, K outcomes of pairs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import evalica
import numpy as np

from eval.bootstrap import Floats, Interval
from eval.errors import EvalError
from eval.study.resampling import percentile_interval, times_drawn
from eval.study.tallies import Tally, tallies
from eval.study.votes import Unit, Vote

PRIOR = 0.5
"""Wins each way that every pair of variants is given once it was compared. Without them a variant
that always wins is infinitely strong."""

_OUTCOMES = (evalica.Winner.X, evalica.Winner.Y, evalica.Winner.Draw)
_TOLERANCE = 1e-8
_LIMIT = 1_000_000
"""Iterations: with few ties Newman's take many, a microsecond each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rank:
    """One variant's place by one question."""

    question: str
    variant: str
    rank: int
    """One more than the number of variants that are stronger for sure: whose interval lies wholly
    above this one's. Variants that cannot be told apart share theirs."""
    strength: Interval
    """Natural logarithm; its mean over variants is 0. Of two that differ by d, votes that are no
    ties go to the stronger one with odds of exp(d). With a 95 % bootstrap interval over videos."""
    wins: int
    """Votes."""
    losses: int
    ties: int


def ranking(votes: Iterable[Vote], leave_out: Collection[str] = ()) -> tuple[Rank, ...]:
    """Rank variants by every counted vote (not by the majority of an edit).

    Args:
        votes: Of every kind, in any order.
        leave_out: Raters who are not counted, such as ``Attention.failed``.

    Returns:
        By question, then from strong to weak; empty without a counted vote.

    Raises:
        EvalError: variants fall into groups that were never compared, so that their strengths have
            no common scale; or the fit does not converge.
    """
    by_question: dict[str, dict[Unit, Tally]] = {}
    for (question, _), units in tallies(votes, leave_out).items():
        by_question.setdefault(question, {}).update(units)
    return tuple(
        rank for question, units in by_question.items() for rank in _ranks(question, units)
    )


def _ranks(question: str, units: Mapping[Unit, Tally]) -> list[Rank]:
    compared = sorted({unit.variants for unit in units})
    names = sorted({name for pair in compared for name in pair})
    _check(question, compared, names)
    counts_VK = _counts(units, compared)
    strengths = _fit(compared, names, counts_VK.sum(axis=0))
    if len(counts_VK) > 1:
        weights_RK = times_drawn(len(counts_VK)) @ counts_VK
        resampled = np.array([_fit(compared, names, weights_K) for weights_K in weights_RK])
    else:
        resampled = np.empty((0, len(names)))
    found = {
        name: percentile_interval(float(strengths[place]), resampled[:, place])
        for place, name in enumerate(names)
    }
    return [
        Rank(
            question=question,
            variant=name,
            rank=1 + sum(_above(other, found[name]) for other in found.values()),
            strength=found[name],
            wins=sum(_won(unit, tally, name) for unit, tally in units.items()),
            losses=sum(
                tally.votes - tally.ties - _won(unit, tally, name)
                for unit, tally in units.items()
                if name in unit.variants
            ),
            ties=sum(tally.ties for unit, tally in units.items() if name in unit.variants),
        )
        for name in sorted(names, key=lambda name: (-found[name].mean, name))
    ]


def _check(question: str, compared: Sequence[tuple[str, str]], names: Sequence[str]) -> None:
    group = {names[0]}
    for _ in names:
        group.update(name for pair in compared if group.intersection(pair) for name in pair)
    if rest := sorted(set(names) - group):
        raise EvalError(
            f"by question {question!r} no vote compares {', '.join(sorted(group))} with "
            f"{', '.join(rest)}: their strengths have no common scale; ask for votes on a pair of "
            "both, or rank them apart"
        )


def _counts(units: Mapping[Unit, Tally], compared: Sequence[tuple[str, str]]) -> Floats:
    """Votes of each video by pair of variants and outcome: shape (V, K)."""
    videos = {unit.video: None for unit in units}
    rows = {video: np.zeros((len(compared), len(_OUTCOMES))) for video in videos}
    for unit, tally in units.items():
        row = rows[unit.video][compared.index(unit.variants)]
        row += tally.one, tally.other, tally.ties
    return np.stack([row.ravel() for row in rows.values()])


def _fit(compared: Sequence[tuple[str, str]], names: Sequence[str], counts_K: Floats) -> Floats:
    """Logarithms of strengths, in the order of the names; their mean is 0."""
    rows = [(*pair, outcome) for pair, outcome in product(compared, _OUTCOMES)]
    ones, others, outcomes = zip(*rows, strict=True)
    prior = [0.0 if outcome is evalica.Winner.Draw else PRIOR for outcome in outcomes]
    ties = counts_K[2::3].sum()
    # Newman's iterations swing for ever where there are no ties: then it is the plain model.
    fit = evalica.newman if ties else evalica.bradley_terry
    fitted = fit(
        list(ones),
        list(others),
        list(outcomes),
        weights=(counts_K + prior).tolist(),
        tolerance=_TOLERANCE,
        limit=_LIMIT,
    )
    if fitted.iterations >= _LIMIT:
        raise EvalError(
            f"strengths of {', '.join(names)} do not converge in {_LIMIT} iterations: the votes "
            "are too one-sided to rank them; rank fewer variants"
        )
    logs = np.log(fitted.scores[list(names)].to_numpy(dtype=np.float64))
    return np.asarray(logs - logs.mean())


def _above(one: Interval, other: Interval) -> bool:
    return one.low is not None and other.high is not None and one.low > other.high


def _won(unit: Unit, tally: Tally, name: str) -> int:
    return tally.one if name == unit.one else tally.other if name == unit.other else 0
