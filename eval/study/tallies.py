"""Counted votes by question and unit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from eval.study.votes import LOVEU, PAPER, Kind, Unit, Vote, answers

_KNOWN = [question.id for question in (*PAPER, *LOVEU)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """Votes on one unit."""

    one: int
    """For the unit's first variant in alphabetical order."""
    other: int
    ties: int

    @property
    def votes(self) -> int:
        """All of them: one for each rater."""
        return self.one + self.other + self.ties

    @property
    def share(self) -> float:
        """Of the votes, for ``one``; a tie is half a vote."""
        return (self.one + self.ties / 2) / self.votes

    @property
    def majority(self) -> float:
        """Who has it: 1 for ``one``, 0 for ``other``, 1/2 for neither: a draw.

        A variant has it with more votes than the other one and more than there are ties.
        """
        most = max(self.one, self.other, self.ties)
        leading = [count == most for count in (self.one, self.other, self.ties)]
        return 0.5 if leading[2] or sum(leading) > 1 else float(leading[0])


Group = tuple[str, tuple[str, str]]
"""A question and the two variants that it was asked about."""


def tallies(
    votes: Iterable[Vote], leave_out: Collection[str] = ()
) -> Mapping[Group, Mapping[Unit, Tally]]:
    """Count votes; repeats, checks and second answers are not counted.

    Args:
        votes: Of every kind, in any order.
        leave_out: Raters who are not counted.

    Returns:
        The paper's questions first, then LOVEU's, then others; by variants, then by unit.
    """
    chosen: dict[Group, dict[Unit, list[str | None]]] = defaultdict(lambda: defaultdict(list))
    for vote in answers(votes, Kind.FIRST, leave_out):
        unit = vote.pair.unit
        chosen[vote.question, unit.variants][unit].append(vote.chosen)
    return {
        group: {unit: _tally(unit, units[unit]) for unit in sorted(units)}
        for group, units in sorted(chosen.items(), key=lambda item: group_order(item[0]))
    }


def group_order(group: Group) -> tuple[int, str, tuple[str, str]]:
    """Where a question and its variants stand among others."""
    question, variants = group
    place = _KNOWN.index(question) if question in _KNOWN else len(_KNOWN)
    return place, question, variants


def _tally(unit: Unit, chosen: list[str | None]) -> Tally:
    return Tally(
        one=chosen.count(unit.one), other=chosen.count(unit.other), ties=chosen.count(None)
    )
