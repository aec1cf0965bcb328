"""Pairs and votes: what they say whatever the sides, what they refuse, and which vote counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.errors import EvalError
from eval.study.votes import LOVEU, NOISE, PAPER, SOURCE, Choice, Kind, Pair, Unit, Vote, answers
from tests.ballots import FULL_LEFT, ballots, check, mirrored, pair, vote


def test_a_unit_is_the_same_on_either_side() -> None:
    assert FULL_LEFT.unit == Unit("v0", "v0/e0", "full", "pnp")
    assert FULL_LEFT.swapped == Pair(video="v0", edit="v0/e0", left="pnp", right="full")
    assert FULL_LEFT.swapped.unit == FULL_LEFT.unit
    assert FULL_LEFT.swapped.swapped == FULL_LEFT


@pytest.mark.parametrize(("letter", "chosen"), [("L", "full"), ("R", "pnp"), ("=", None)])
def test_a_choice_is_of_a_variant_whatever_its_side(letter: str, chosen: str | None) -> None:
    assert vote("r0", letter).chosen == chosen
    assert mirrored(vote("r0", letter)).chosen == chosen
    assert vote("r0", letter).choice.swapped.swapped is vote("r0", letter).choice


def test_the_papers_two_questions_and_loveus_three() -> None:
    assert [question.id for question in PAPER] == ["consistency", "text"]
    assert [question.id for question in LOVEU] == ["loveu_text", "loveu_structure", "loveu_quality"]
    assert [question.id for question in (*PAPER, *LOVEU) if question.shows_source] == [
        "loveu_structure"
    ]


def test_one_variant_on_both_sides_is_no_pair() -> None:
    with pytest.raises(EvalError, match=r"'v0/e0' of video 'v0' shows 'full' on both sides"):
        pair("v0/e0", "full", "full")


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(EvalError, match=r"'r0' is of 2026-11-29T12:00:00, which has no zone"):
        replace(vote("r0", "L"), time=datetime(2026, 11, 29, 12))  # noqa: DTZ001 - on purpose


@pytest.mark.parametrize(
    ("left", "right", "kind"),
    [
        (SOURCE, NOISE, Kind.FIRST),
        (NOISE, SOURCE, Kind.REPEAT),
        (SOURCE, "pnp", Kind.FIRST),
        ("full", NOISE, Kind.CHECK),
        ("full", "pnp", Kind.CHECK),
    ],
)
def test_source_against_noise_is_a_check_and_nothing_else_is(
    left: str, right: str, kind: Kind
) -> None:
    with pytest.raises(EvalError, match="together are a check, and nothing else is one"):
        vote("r0", "L", pair=pair("v0/e0", left, right), kind=kind)
    assert check("r0", "source").chosen == SOURCE


def test_of_two_answers_the_earlier_counts() -> None:
    early, late = vote("r0", "L", minute=1), mirrored(vote("r0", "R", minute=2))
    assert answers([late, early], Kind.FIRST) == [early]
    other = vote("r0", "R", question="text", minute=3)
    again = vote("r0", "R", kind=Kind.REPEAT)
    assert answers([late, other, again, early], Kind.FIRST) == [early, other]
    assert answers([late, other, again, early], Kind.REPEAT) == [again]
    assert answers([early, vote("r1", "R")], Kind.FIRST, leave_out=["r0"]) == [vote("r1", "R")]
    assert answers([], Kind.FIRST) == []


@given(ballots(), st.sampled_from(Kind), st.randoms())
def test_the_order_of_votes_does_not_matter(votes: list[Vote], kind: Kind, random: Random) -> None:
    shuffled = random.sample(votes, len(votes))
    kept = answers(votes, kind)
    assert [(one.rater, one.pair.unit, one.question, one.chosen) for one in kept] == [
        (one.rater, one.pair.unit, one.question, one.chosen) for one in answers(shuffled, kind)
    ]
    assert all(one.kind is kind for one in kept)
    assert Choice.TIE.swapped is Choice.TIE
