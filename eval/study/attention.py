"""Attention checks: the source clip beside noise, which is worse by every question of a study."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from eval.errors import EvalError
from eval.study.votes import SOURCE, Kind, Vote, answers


@dataclass(frozen=True, kw_only=True, slots=True)
class Attention:
    """Who looked."""

    raters: tuple[str, ...]
    """All that gave any vote, in alphabetical order."""
    failed: tuple[str, ...]
    """Who answered more checks wrongly than is allowed; pass them as ``leave_out``."""
    unchecked: tuple[str, ...]
    """Who answered no check: nothing is known of them, and they have not failed."""


def attention(votes: Iterable[Vote], allowed_wrong: int = 0) -> Attention:
    """Judge raters by their checks.

    A check is answered rightly by choosing the source; noise and a tie are wrong. Each question
    about a check counts by itself.

    Args:
        votes: Of every kind, in any order.
        allowed_wrong: How many wrong answers do not fail a rater.

    Raises:
        EvalError: ``allowed_wrong`` is below zero.
    """
    if allowed_wrong < 0:
        raise EvalError(f"allowed_wrong is {allowed_wrong}, but must be 0 or more")
    votes = list(votes)
    raters = sorted({vote.rater for vote in votes})
    wrong: dict[str, int] = {}
    for vote in answers(votes, Kind.CHECK):
        wrong[vote.rater] = wrong.get(vote.rater, 0) + (vote.chosen != SOURCE)
    return Attention(
        raters=tuple(raters),
        failed=tuple(rater for rater in raters if wrong.get(rater, 0) > allowed_wrong),
        unchecked=tuple(rater for rater in raters if rater not in wrong),
    )
