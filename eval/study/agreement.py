"""How far raters agree: with each other, and with themselves.

Krippendorff's alpha of nominal data (Computing Krippendorff's Alpha-Reliability, 2011) is written
out here: the library for it is under a licence that is not ours to ship, and evalica, which the
tests compare it with, resamples single disagreements where units are to be resampled.
Shape legend: U units, C categories, R resamples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from eval.bootstrap import Floats, Interval
from eval.study.resampling import Counts, percentage, percentile_interval, times_drawn
from eval.study.tallies import group_order, tallies
from eval.study.votes import Kind, Vote, answers

_FEWEST = 2
"""Votes that can agree."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """Between raters, on two variants, by one question."""

    question: str
    variants: tuple[str, str]
    """In alphabetical order."""
    units: int
    """Edits with two votes or more; others say nothing of agreement."""
    votes: int
    """On these."""
    alpha: Interval | None
    """1: perfect; 0: as by chance; below: worse. With a 95 % bootstrap interval over units."""
    reason: str | None
    """Why there is no alpha."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SelfAgreement:
    """Of raters with their own earlier votes, by one question."""

    question: str
    repeats: int
    """That were answered, as was the pair when first shown."""
    same: int
    """Of these: the same variant again, or a tie again."""
    raters: Mapping[str, tuple[int, int]]
    """By rater: how many were the same, of how many."""
    percent: Interval
    """With a 95 % bootstrap interval over raters."""


def agreements(votes: Iterable[Vote], leave_out: Collection[str] = ()) -> tuple[Agreement, ...]:
    """Compute alpha for each question and two variants; a tie is a category of its own.

    Args:
        votes: Of every kind, in any order.
        leave_out: Raters who are not counted, such as ``Attention.failed``.
    """
    return tuple(
        _agreement(question, variants, np.array([[t.one, t.other, t.ties] for t in units.values()]))
        for (question, variants), units in tallies(votes, leave_out).items()
    )


def alpha(counts_UC: Counts) -> Interval | None:
    """Krippendorff's alpha of nominal data, with a 95 % bootstrap interval over units.

    Args:
        counts_UC: How many raters put a unit into a category, shape (U, C). Units of fewer than two
            ratings are left out, as in the definition.

    Returns:
        None where it has no meaning: without a unit that is left, or where every rating is of one
        category, so that chance alone would agree as well. Ends are over the resamples of which it
        has a meaning, and are none of a single unit.
    """
    counts_UC = counts_UC[counts_UC.sum(axis=1) >= _FEWEST]
    units = len(counts_UC)
    if not units:
        return None
    point = float(_alphas(counts_UC, np.ones((1, units), np.int64))[0])
    if np.isnan(point):
        return None
    resampled = _alphas(counts_UC, times_drawn(units)) if units > 1 else np.empty(0)
    return percentile_interval(point, resampled)


def _alphas(counts_UC: Counts, times_RU: Counts) -> Floats:
    """Of each resample, shape (R,): 1 - observed disagreement / expected; NaN without variation."""
    sizes_U = counts_UC.sum(axis=1)
    unlike_U = (sizes_U**2 - (counts_UC**2).sum(axis=1)) / (sizes_U - 1)
    values_RC = times_RU @ counts_UC
    values_R = values_RC.sum(axis=1)
    expected_R = (values_R**2 - (values_RC**2).sum(axis=1)) / (values_R - 1)
    observed_R = times_RU @ unlike_U
    meant_R = expected_R > 0
    ratio_R = observed_R / np.where(meant_R, expected_R, 1)
    return np.asarray(np.where(meant_R, 1 - ratio_R, np.nan))


def _agreement(question: str, variants: tuple[str, str], counts_UC: Counts) -> Agreement:
    paired = counts_UC[counts_UC.sum(axis=1) >= _FEWEST]
    found = alpha(counts_UC)
    reason = None
    if found is None:
        reason = "every vote is the same" if len(paired) else "no edit has two votes"
    return Agreement(
        question=question,
        variants=variants,
        units=len(paired),
        votes=int(paired.sum()),
        alpha=found,
        reason=reason,
    )


def self_agreements(
    votes: Iterable[Vote], leave_out: Collection[str] = ()
) -> tuple[SelfAgreement, ...]:
    """Compare each repeat with what its rater answered when the pair was first shown.

    Args:
        votes: Of every kind, in any order. Repeats of what was not answered at first are left out.
        leave_out: Raters who are not counted.

    Returns:
        By question; none for questions without a repeat.
    """
    votes = list(votes)
    earlier = {
        (vote.rater, vote.pair.unit, vote.question): vote
        for vote in answers(votes, Kind.FIRST, leave_out)
    }
    same: dict[str, Counter[str]] = {}
    all_of: dict[str, Counter[str]] = {}
    for vote in answers(votes, Kind.REPEAT, leave_out):
        first = earlier.get((vote.rater, vote.pair.unit, vote.question))
        if first is not None:
            all_of.setdefault(vote.question, Counter())[vote.rater] += 1
            same.setdefault(vote.question, Counter())[vote.rater] += first.chosen == vote.chosen
    return tuple(
        SelfAgreement(
            question=question,
            repeats=all_of[question].total(),
            same=same[question].total(),
            raters={rater: (same[question][rater], count) for rater, count in of_one.items()},
            percent=percentage(
                np.array([same[question][rater] for rater in of_one], np.float64),
                np.array(list(of_one.values()), np.float64),
            ),
        )
        for question, of_one in sorted(
            all_of.items(), key=lambda item: group_order((item[0], ("", "")))
        )
    )
