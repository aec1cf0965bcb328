"""The paper's table: how often each of two variants was preferred, by majority vote of an edit.

Percentages are over edits, as the paper's are (87.86 % is 123 of its 140); their intervals are over
videos, as the edits of one are alike.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eval.bootstrap import Interval
from eval.study.resampling import percentage
from eval.study.tallies import Group, Tally, tallies
from eval.study.votes import Kind, Unit, Vote, answers


@dataclass(frozen=True, kw_only=True, slots=True)
class Preference:
    """Of two variants, how often the first was preferred over the second by one question."""

    question: str
    first: str
    second: str
    edits: int
    """That have a vote."""
    won: int
    """Edits of which more raters chose the first than chose the second, and than chose a tie."""
    drawn: int
    """Edits of which neither variant has such a majority."""
    lost: int
    votes: int
    """Counted: no repeats, no checks, the earliest of a rater's answers."""
    fewest: int
    """Votes on any one edit."""
    raters: int
    """Who gave these votes."""
    left_out: int
    """Raters whose votes on these variants were asked for but are not counted."""
    percent: Interval
    """Of edits, for the first; a draw is half an edit."""


def preferences(
    votes: Iterable[Vote], leave_out: Collection[str] = (), order: Sequence[str] = ()
) -> tuple[Preference, ...]:
    """Compute the table.

    Args:
        votes: Of every kind, in any order.
        leave_out: Raters who are not counted, such as ``Attention.failed``.
        order: Variants; of two the earlier one is ``first``. Those that are not named come after,
            in alphabetical order.

    Returns:
        By question, then by variants; empty without a counted vote.
    """
    votes = list(votes)
    counted = tallies(votes, leave_out)
    everyone = _raters(votes)
    return tuple(
        _preference(group, units, everyone[group], leave_out, order)
        for group, units in counted.items()
    )


def in_order(variants: Sequence[str], order: Sequence[str]) -> list[str]:
    """Variants as they are to be shown: the named ones first, others in alphabetical order."""
    return sorted(
        variants, key=lambda name: (order.index(name) if name in order else len(order), name)
    )


def _raters(votes: Sequence[Vote]) -> Mapping[Group, set[str]]:
    found: dict[Group, set[str]] = {}
    for vote in answers(votes, Kind.FIRST):
        found.setdefault((vote.question, vote.pair.unit.variants), set()).add(vote.rater)
    return found


def _preference(
    group: Group,
    units: Mapping[Unit, Tally],
    raters: set[str],
    leave_out: Collection[str],
    order: Sequence[str],
) -> Preference:
    question, variants = group
    first, second = in_order(variants, order)
    for_one = [tally.majority for tally in units.values()]
    wins = np.array(for_one if first == variants[0] else [1 - part for part in for_one])
    videos = list(dict.fromkeys(unit.video for unit in units))
    codes = np.array([videos.index(unit.video) for unit in units])
    counts = [tally.votes for tally in units.values()]
    return Preference(
        question=question,
        first=first,
        second=second,
        edits=len(units),
        won=int((wins == 1).sum()),
        drawn=int((wins == 0.5).sum()),  # noqa: PLR2004 - a draw
        lost=int((wins == 0).sum()),
        votes=sum(counts),
        fewest=min(counts),
        raters=len(raters.difference(leave_out)),
        left_out=len(raters.intersection(leave_out)),
        percent=percentage(
            np.bincount(codes, wins).astype(np.float64), np.bincount(codes).astype(np.float64)
        ),
    )
