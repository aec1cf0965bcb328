"""The numbers of a study, from its votes and a run's scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from components.study.record import Record
from eval.errors import EvalError
from eval.study.agreement import Agreement, SelfAgreement, agreements, self_agreements
from eval.study.attention import Attention, attention
from eval.study.correlation import VoteCorrelation, vote_correlations
from eval.study.preference import Preference, preferences
from eval.study.ranking import Rank, ranking
from eval.study.votes import Question, Vote
from eval.values import Value


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Everything that a study's votes say."""

    questions: Sequence[Question]
    attention: Attention
    finished: int
    """Raters who answered every page of theirs."""
    raters: int
    """Whom the study has."""
    preferences: Sequence[Preference]
    ranks: Sequence[Rank]
    agreements: Sequence[Agreement]
    self_agreements: Sequence[SelfAgreement]
    correlations: Sequence[VoteCorrelation]
    reasons: Mapping[str, str]
    """Why there is no ranking, or no correlation."""


def count(
    record: Record,
    votes: Iterable[Vote],
    values: Iterable[Value] | None = None,
    allowed_wrong: int = 0,
) -> Outcome:
    """Count a study that is kept.

    Args:
        record: The study.
        votes: ``Record.votes``.
        values: Scores of its variants; none where no run was given.
        allowed_wrong: How many wrong answers to checks do not leave a rater out.
    """
    design = record.design
    raters = range(design.plan.raters)
    ends = (record.place(rater) == len(record.sequences.of(rater)) for rater in raters)
    return outcome(
        votes,
        design.asked,
        design.order,
        raters=len(raters),
        finished=sum(ends),
        values=values,
        allowed_wrong=allowed_wrong,
    )


def outcome(
    votes: Iterable[Vote],
    questions: Sequence[Question],
    order: Sequence[str],
    *,
    raters: int,
    finished: int,
    values: Iterable[Value] | None = None,
    allowed_wrong: int = 0,
) -> Outcome:
    """Count a study.

    Args:
        votes: Of every kind, in any order.
        questions: That it asks.
        order: Its variants; of two the earlier one is preferred or not.
        raters: Whom the study has.
        finished: How many of them answered all.
        values: Scores of the variants; none where no run was given.
        allowed_wrong: How many wrong answers to checks do not leave a rater out.

    Raises:
        EvalError: ``allowed_wrong`` is below zero.
    """
    votes = list(votes)
    looked = attention(votes, allowed_wrong)
    reasons: dict[str, str] = {}
    ranks: Sequence[Rank] = ()
    correlations: Sequence[VoteCorrelation] = ()
    try:
        ranks = ranking(votes, looked.failed)
    except EvalError as error:
        reasons["ranking"] = str(error)
    try:
        correlations = vote_correlations(votes, values, looked.failed) if values is not None else ()
    except EvalError as error:
        reasons["correlations"] = str(error)
    return Outcome(
        questions=questions,
        attention=looked,
        finished=finished,
        raters=raters,
        preferences=preferences(votes, looked.failed, order),
        ranks=ranks,
        agreements=agreements(votes, looked.failed),
        self_agreements=self_agreements(votes, looked.failed),
        correlations=correlations,
        reasons=reasons,
    )
