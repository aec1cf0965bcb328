"""Who failed the attention checks."""

from __future__ import annotations

import pytest

from eval.errors import EvalError
from eval.study.attention import Attention, attention
from tests.ballots import check, mirrored, vote


def test_who_takes_noise_for_better_or_cannot_decide_has_failed() -> None:
    found = attention(
        [
            check("good", "source"),
            mirrored(check("good", "source", "v1/e0")),
            check("half", "source"),
            check("half", "noise", "v1/e0"),
            check("undecided", "="),
            vote("unchecked", "L"),
            vote("good", "R"),
        ]
    )
    assert found == Attention(
        raters=("good", "half", "unchecked", "undecided"),
        failed=("half", "undecided"),
        unchecked=("unchecked",),
    )


def test_wrong_answers_may_be_allowed() -> None:
    votes = [check("r", "noise"), check("r", "noise", question="consistency"), check("s", "=")]
    assert attention(votes, allowed_wrong=0).failed == ("r", "s")
    assert attention(votes, allowed_wrong=1).failed == ("r",), "each question counts by itself"
    assert attention(votes, allowed_wrong=2).failed == ()
    with pytest.raises(EvalError, match="allowed_wrong is -1, but must be 0 or more"):
        attention(votes, allowed_wrong=-1)


def test_a_check_that_is_answered_again_stays_as_it_was() -> None:
    wrong = check("r", "noise")
    right = check("r", "source")
    assert attention([wrong, right]).failed == ("r",), "of one time: noise is not made good"


def test_no_votes_no_raters() -> None:
    assert attention([]) == Attention(raters=(), failed=(), unchecked=())
