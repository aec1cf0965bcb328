"""Krippendorff's alpha beside his own examples and evalica's, and raters against themselves."""

from __future__ import annotations

import math
from random import Random

import evalica
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.bootstrap import Interval
from eval.study.agreement import agreements, alpha, self_agreements
from eval.study.resampling import Counts
from eval.study.votes import Kind, Vote
from tests.ballots import ballots, mirrored, of_edits, pair, vote


def counts_of(*observers: str) -> Counts:
    """How often each unit got each value; a dot is no value."""
    values = sorted(set("".join(observers)) - {"."})
    units = zip(*observers, strict=True)
    return np.array([[unit.count(value) for value in values] for unit in units])


@pytest.mark.parametrize(
    ("observers", "expected"),
    [
        (("0100000010", "1110010000"), 0.095),
        (("aabbdcccedda", "babbbccceddd"), 0.692),
        (("123321412...", "1233224125.3", ".3332342251.", "12332441251."), 0.743),
    ],
)
def test_krippendorffs_own_examples(observers: tuple[str, ...], expected: float) -> None:
    """Computing Krippendorff's Alpha-Reliability, 2011: sections A (binary), B (nominal) and C (any
    number of observers, missing data)."""
    found = alpha(counts_of(*observers))
    assert found is not None
    assert found.mean == pytest.approx(expected, abs=5e-4)


@given(st.lists(st.text("LR=.", min_size=6, max_size=6), min_size=2, max_size=6))
def test_it_is_evalicas(observers: list[str]) -> None:
    counts = counts_of(*observers)
    units = [[value for value in unit if value != "."] for unit in zip(*observers, strict=True)]
    pairable = {value for unit in units if len(unit) > 1 for value in unit}
    found = alpha(counts) if counts.size else None
    if len(pairable) < 2:
        assert found is None
        return
    codes = {"L": 0.0, "R": 1.0, "=": 2.0, ".": None}
    frame = pd.DataFrame([[codes[value] for value in row] for row in observers])
    assert found is not None
    assert found.mean == pytest.approx(evalica.alpha(frame).alpha)


def test_by_hand() -> None:
    """Four coincidences unlike of 12 values (7 L, 5 R): 1 - 11 × 4 / (2 × 7 × 5)."""
    (found,) = agreements(of_edits({"v0/e": "LLL", "v1/e": "RRR", "v2/e": "LRL", "v3/e": "RLL"}))
    unlike = 2 * 2 / 2 + 2 * 2 / 2  # each mixed unit: 4 ordered pairs, by its 3 - 1
    left, right = 3 + 2 + 2, 3 + 1 + 1
    assert found.alpha is not None
    assert found.alpha.mean == pytest.approx(1 - 11 * unlike / (2 * left * right))
    assert (found.units, found.votes, found.variants) == (4, 12, ("full", "pnp"))


def test_agreement_is_on_variants_and_not_on_sides() -> None:
    votes = of_edits({"v0/e": "LLL", "v1/e": "RRR"})
    votes[1] = mirrored(votes[1])
    (found,) = agreements(votes)
    assert found.alpha == Interval(mean=1, low=1, high=1)


def test_the_interval_is_over_units() -> None:
    """Against resamples of units drawn here."""
    observers = ["LLRRLRLRLLRRLRLLRRLR", "LLRRLRLRLLRRLRRRLLLR", "LRRRLRLLLLRRLRLLRRLR"]
    counts = counts_of(*observers)
    rng = np.random.default_rng(5)
    drawn = []
    for _ in range(2000):
        picked = [
            [row[at] for at in picks] for picks in [rng.integers(0, 20, 20)] for row in observers
        ]
        one = pd.DataFrame([[float("LR".index(v)) for v in row] for row in picked]).to_numpy()
        unlike = (one.sum(axis=0) * (3 - one.sum(axis=0))).sum()  # 2·l·r of each, by 3 - 1
        left, right = (one == 0).sum(), (one == 1).sum()
        drawn.append(1 - unlike * (left + right - 1) / (2 * left * right))
    found = alpha(counts)
    assert found is not None
    expected = tuple(np.quantile(drawn, (0.025, 0.975)))
    assert (found.low, found.high) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"v0/e": "L", "v1/e": "R"}, "no edit has two votes"),
        ({"v0/e": "LLL", "v1/e": "LL", "v2/e": "R"}, "every vote is the same"),
        ({"v0/e": "==", "v1/e": "=="}, "every vote is the same"),
    ],
)
def test_without_variation_or_a_second_vote_there_is_no_alpha(
    table: dict[str, str], reason: str
) -> None:
    (found,) = agreements(of_edits(table))
    assert (found.alpha, found.reason) == (None, reason)


def test_one_unit_has_no_interval_and_nothing_has_nothing() -> None:
    (found,) = agreements(of_edits({"v0/e": "LR"}))
    assert found.alpha == Interval(mean=0, low=None, high=None)
    assert found.reason is None
    assert agreements([]) == ()
    assert alpha(np.zeros((0, 3), np.int64)) is None


@given(ballots(("full", "pnp", "cogvideo")), st.randoms())
def test_neither_order_nor_sides_matter(votes: list[Vote], random: Random) -> None:
    turned = [mirrored(one) if random.random() < 0.5 else one for one in votes]
    shuffled = random.sample(turned, len(turned))
    assert agreements(shuffled) == agreements(votes)
    assert self_agreements(shuffled) == self_agreements(votes)


def again(rater: str, letter: str, edit: str, question: str = "consistency") -> Vote:
    """The repeat, shown on the other sides; ``letter`` as if on the first ones."""
    return mirrored(
        vote(rater, letter, pair=pair(edit), question=question, minute=5, kind=Kind.REPEAT)
    )


def test_raters_against_themselves_by_hand() -> None:
    first = of_edits({"v0/e": "LL=", "v1/e": "RRR", "v2/e": "L.L"})
    repeats = [
        again("r0", "L", "v0/e"),  # the same variant, on the other side
        again("r0", "R", "v1/e"),
        again("r0", "R", "v2/e"),  # another
        again("r1", "=", "v0/e"),  # no tie before
        again("r1", "L", "v2/e"),  # not answered at first
        again("r2", "=", "v0/e"),
    ]
    (found,) = self_agreements([*repeats, *first])
    assert found.raters == {"r0": (2, 3), "r1": (0, 1), "r2": (1, 1)}
    assert (found.question, found.repeats, found.same) == ("consistency", 5, 3)
    assert found.percent.mean == pytest.approx(60)
    # 27 resamples of raters: r1 thrice gives 0 %, r2 thrice 100 %, each 1 in 27.
    assert (found.percent.low, found.percent.high) == pytest.approx((0, 100))
    (rest,) = self_agreements([*repeats, *first], leave_out=["r1", "r2"])
    assert rest.percent.mean == pytest.approx(200 / 3)
    assert (rest.percent.low, rest.percent.high) == (None, None)


def test_questions_without_a_repeat_have_no_line() -> None:
    assert self_agreements([]) == ()
    first = of_edits({"v0/e": "L"}, "text") + of_edits({"v0/e": "L"})
    assert self_agreements(first) == ()
    votes = [*first, again("r0", "L", "v0/e", "text"), again("r0", "L", "v0/e")]
    assert [one.question for one in self_agreements(votes)] == ["consistency", "text"]
    assert not math.isnan(self_agreements(votes)[0].percent.mean)
