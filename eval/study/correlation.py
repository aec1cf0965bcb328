"""How far each measure orders edits as people's votes do.

Shape legend: E edits of two variants, R resamples, V videos.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from eval.bootstrap import Floats, Interval
from eval.correlation import kind_order, spearman
from eval.errors import EvalError
from eval.pivot import Kind
from eval.protocols.registry import measure_of
from eval.study.resampling import percentile_interval, times_drawn
from eval.study.tallies import Tally, tallies
from eval.study.votes import Unit, Vote
from eval.values import Value

_FEWEST = 4
"""Edits: three have only six orders."""

_Measured = Mapping[Kind, Mapping[str, Mapping[tuple[str, str], float]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class VoteCorrelation:
    """Spearman's correlation over edits of a measure's differences with the votes' shares."""

    question: str
    variants: tuple[str, str]
    """In alphabetical order; the other order gives the same."""
    measure: Kind
    edits: int
    """That have votes, and the measure of both variants."""
    rho: Interval
    """1: the clearer one variant leads by the measure, the more people choose it. With a 95 %
    bootstrap interval over videos."""


def vote_correlations(
    votes: Iterable[Vote], values: Iterable[Value], leave_out: Collection[str] = ()
) -> tuple[VoteCorrelation, ...]:
    """Correlate every measure with the votes, for each question and two variants.

    Of an edit the measure gives the difference of the two variants' values (turned round where
    lower is better), the votes give the share of one variant, a tie being half a vote.

    Args:
        votes: Of every kind, in any order.
        values: Of the variants, in any order; of two of one edit the later one counts.
        leave_out: Raters who are not counted, such as ``Attention.failed``.

    Returns:
        By question, variants and measure. What is equal in all edits orders nothing and is left
        out, as is what fewer than 4 edits have.

    Raises:
        EvalError: there are votes, but nothing that has 4 edits in common with them.
    """
    measured = _measured(values)
    counted = tallies(votes, leave_out)
    shared = [
        (group, kind, edits)
        for group, units in counted.items()
        for kind in sorted(measured, key=kind_order)
        if len(edits := _shared(units, measured[kind])) >= _FEWEST
    ]
    if counted and not shared:
        raise EvalError(
            f"a rank correlation is over {_FEWEST} edits or more that have votes and a measure of "
            "both variants: score the variants that were voted on, or collect votes on more edits"
        )
    found = []
    for (question, variants), kind, edits in shared:
        rho = _rho(edits, -1 if measure_of(kind[0], kind[2]).lower_is_better else 1)
        if rho is not None:
            found.append(
                VoteCorrelation(
                    question=question,
                    variants=variants,
                    measure=kind,
                    edits=len(edits),
                    rho=rho,
                )
            )
    return tuple(found)


def _measured(values: Iterable[Value]) -> _Measured:
    """By kind, variant, video and edit."""
    found: dict[Kind, dict[str, dict[tuple[str, str], float]]] = {}
    for one in values:
        if one.value is not None and one.is_there:
            kind = (one.protocol, one.judge, one.measure)
            of_variant = found.setdefault(kind, {}).setdefault(one.variant, {})
            of_variant[one.video, one.edit] = one.value
    return found


def _shared(
    units: Mapping[Unit, Tally], measured: Mapping[str, Mapping[tuple[str, str], float]]
) -> list[tuple[str, float, float]]:
    """Video, difference and share of each edit that has both."""
    found = []
    for unit, tally in units.items():
        one, other = (measured.get(name, {}).get((unit.video, unit.edit)) for name in unit.variants)
        if one is not None and other is not None:
            found.append((unit.video, one - other, tally.share))
    return found


def _rho(edits: list[tuple[str, float, float]], sign: int) -> Interval | None:
    names = list(dict.fromkeys(video for video, *_ in edits))
    videos_E = np.array([names.index(video) for video, *_ in edits])
    differences_E: Floats = sign * np.array([difference for _, difference, _ in edits])
    shares_E: Floats = np.array([share for *_, share in edits])
    rho = spearman(differences_E, shares_E)
    if rho is None:
        return None
    drawn = times_drawn(len(names)) if len(names) > 1 else ()
    repeats = (np.repeat(np.arange(len(edits)), times_V[videos_E]) for times_V in drawn)
    resampled = [spearman(differences_E[picks], shares_E[picks]) for picks in repeats]
    return percentile_interval(rho, np.array([one for one in resampled if one is not None]))
