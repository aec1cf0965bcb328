"""Votes by question and unit, and who has the majority."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.study.tallies import Tally, tallies
from eval.study.votes import Kind, Unit, Vote
from tests.ballots import ballots, check, mirrored, of_edits, pair, vote


@pytest.mark.parametrize(
    ("one", "other", "ties", "majority"),
    [
        (5, 0, 0, 1),
        (3, 2, 0, 1),
        (2, 3, 0, 0),
        (2, 2, 0, 0.5),
        (2, 2, 1, 0.5),
        (2, 1, 2, 0.5),
        (1, 2, 2, 0.5),
        (2, 1, 1, 1),
        (1, 0, 4, 0.5),
        (0, 0, 5, 0.5),
        (0, 1, 0, 0),
    ],
)
def test_a_majority_has_more_than_the_other_and_than_the_ties(
    one: int, other: int, ties: int, majority: float
) -> None:
    assert Tally(one=one, other=other, ties=ties).majority == majority
    assert Tally(one=other, other=one, ties=ties).majority == 1 - majority


def test_a_tie_is_half_a_vote_of_the_share() -> None:
    assert Tally(one=2, other=1, ties=2).share == 3 / 5
    assert Tally(one=2, other=1, ties=2).votes == 5


def test_repeats_checks_and_second_answers_are_not_counted() -> None:
    votes = [
        *of_edits({"v0/e0": "LLR=L", "v1/e0": "R"}),
        vote("r0", "R", minute=9),
        vote("r0", "R", kind=Kind.REPEAT),
        check("r0", "source"),
    ]
    counted = tallies(votes)
    assert counted == {
        ("consistency", ("full", "pnp")): {
            Unit("v0", "v0/e0", "full", "pnp"): Tally(one=3, other=1, ties=1),
            Unit("v1", "v1/e0", "full", "pnp"): Tally(one=0, other=1, ties=0),
        }
    }
    assert tallies(votes, leave_out=["r0", "r2"]) == {
        ("consistency", ("full", "pnp")): {
            Unit("v0", "v0/e0", "full", "pnp"): Tally(one=2, other=0, ties=1)
        }
    }


def test_the_papers_questions_come_first() -> None:
    votes = [
        vote("r", "L", question=question, pair=pair("v/e", "full", rival))
        for question in ("zest", "loveu_quality", "text", "consistency")
        for rival in ("pnp", "cogvideo")
    ]
    assert list(tallies(votes)) == [
        (question, variants)
        for question in ("consistency", "text", "loveu_quality", "zest")
        for variants in (("cogvideo", "full"), ("full", "pnp"))
    ]
    assert tallies([]) == {}


@given(ballots(("full", "pnp", "cogvideo")), st.randoms())
def test_neither_order_nor_sides_matter(votes: list[Vote], random: Random) -> None:
    turned = [mirrored(one) if random.random() < 0.5 else one for one in votes]
    assert tallies(random.sample(turned, len(turned))) == tallies(votes)
