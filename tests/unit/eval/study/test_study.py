"""A whole study whose raters answer by known rules: every number is known beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from eval.study.agreement import agreements, self_agreements
from eval.study.assignment import Plan, showings, units_of
from eval.study.attention import attention
from eval.study.correlation import vote_correlations
from eval.study.preference import preferences
from eval.study.ranking import ranking
from eval.study.votes import PAPER, SOURCE, Choice, Kind, Pair, Vote
from eval.values import Value
from tests.ballots import NOON

EDITS = [(f"v{number // 4}", f"e{number:02}") for number in range(20)]
PLAN = Plan(units=units_of(EDITS, [("full", "pnp")]), seed=3)


def prefers_full(rater: int, edit: str) -> bool:
    """Of edit n the first n % 6 raters do: the majority in 9 of 20."""
    return rater < int(edit[1:]) % 6


def answer(rater: int, pair: Pair, kind: Kind) -> Choice:
    preferred = "full" if prefers_full(rater, pair.edit) else "pnp"
    wanted = SOURCE if kind is Kind.CHECK else preferred
    return Choice.LEFT if pair.left == wanted else Choice.RIGHT


def votes() -> Iterator[Vote]:
    """Of five careful raters, with every page answered twice: the second time otherwise."""
    for rater in range(PLAN.raters):
        for page, shown in enumerate(showings(PLAN, rater)):
            for question in PAPER:
                vote = Vote(
                    rater=f"r{rater}",
                    pair=shown.pair,
                    question=question.id,
                    choice=answer(rater, shown.pair, shown.kind),
                    time=NOON + timedelta(minutes=page),
                    kind=shown.kind,
                )
                yield vote
                yield replace(
                    vote, choice=vote.choice.swapped, time=vote.time + timedelta(seconds=1)
                )


def test_five_raters_of_twenty_pairs_give_the_table_that_is_known() -> None:
    assert PLAN.raters == 5
    cast = list(votes())
    assert len(cast) == 2 * 2 * 5 * (20 + 2 + 2)
    assert attention(cast).failed == attention(cast).unchecked == ()
    won = sum(number % 6 >= 3 for number in range(20))
    for found, question in zip(preferences(cast), PAPER, strict=True):
        assert (found.question, found.first, found.second) == (question.id, "full", "pnp")
        assert (found.won, found.drawn, found.lost) == (won, 0, 20 - won)
        assert (found.votes, found.fewest, found.raters) == (100, 5, 5)
        assert found.percent.mean == pytest.approx(100 * won / 20)
    for_full = sum(number % 6 for number in range(20))
    places = {one.variant: one for one in ranking(cast) if one.question == "text"}
    assert (places["full"].wins, places["pnp"].wins) == (for_full, 100 - for_full)
    assert {(one.repeats, one.same) for one in self_agreements(cast)} == {(10, 10)}
    unlike = sum(2 * n * (5 - n) / 4 for n in (number % 6 for number in range(20)))
    alpha = 1 - unlike * 99 / (2 * for_full * (100 - for_full))
    for agreed in agreements(cast):
        assert agreed.alpha is not None
        assert agreed.alpha.mean == pytest.approx(alpha)


def test_a_measure_that_tells_what_raters_tell_has_a_correlation_of_one() -> None:
    scores = [
        Value(video, edit, variant, "object", "a_v1", "", "b", float(int(edit[1:]) % 6) * sign)
        for video, edit in EDITS
        for variant, sign in (("full", 1), ("pnp", 0))
    ]
    for found in vote_correlations(votes(), scores):
        assert found.edits == 20
        assert found.rho.mean == pytest.approx(1)
