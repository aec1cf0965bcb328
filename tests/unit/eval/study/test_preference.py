"""The paper's table, beside tables computed by hand."""

from __future__ import annotations

from collections import defaultdict
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.bootstrap import Interval
from eval.study.attention import attention
from eval.study.preference import Preference, preferences
from eval.study.votes import Kind, Vote
from tests.ballots import ballots, check, mirrored, of_edits, vote

TABLE = {"v0/e0": "LLLRR", "v0/e1": "LRR==", "v1/e0": "LLLLL", "v2/e0": "RRRRL", "v2/e1": "LLL=="}
"""By hand: won, drawn, won, lost, won: 3.5 of 5."""


def only(votes: list[Vote], *leave_out: str) -> Preference:
    (found,) = preferences(votes, leave_out)
    return found


def test_five_raters_by_hand() -> None:
    found = only(of_edits(TABLE))
    assert (found.first, found.second, found.question) == ("full", "pnp", "consistency")
    assert (found.edits, found.won, found.drawn, found.lost) == (5, 3, 1, 1)
    assert (found.votes, found.fewest, found.raters, found.left_out) == (25, 5, 5, 0)
    assert found.percent.mean == pytest.approx(70)
    # Three videos of 1.5 of 2, 1 of 1 and 1 of 2 edits: 27 resamples, the lowest 1 of 27 being
    # v2 three times (50 %), the highest v1 three times (100 %), and 1 in 27 is more than 2.5 %.
    assert (found.percent.low, found.percent.high) == pytest.approx((50, 100))


def test_the_percentage_is_over_edits_and_not_over_videos() -> None:
    found = only(of_edits({"v0/e0": "L", "v0/e1": "L", "v0/e2": "L", "v1/e0": "R"}))
    assert found.percent.mean == 75, "over videos it is 50"


@pytest.mark.parametrize(
    ("won", "percent"), [(123, "87.86"), (119, "85.00"), (87, "62.14"), (107, "76.43")]
)
def test_the_papers_figures_are_majorities_over_its_140_edits(won: int, percent: str) -> None:
    """arXiv 2212.11565, Table 1: over CogVideo and over Plug-and-Play, by both questions."""
    table = {f"v{n % 42}/e{n}": "LLLRR" if n < won else "LLRRR" for n in range(140)}
    found = only(of_edits(table))
    assert f"{found.percent.mean:.2f}" == percent
    assert found.percent.low is not None
    assert found.percent.high is not None
    assert found.percent.low < found.percent.mean < found.percent.high


def test_who_failed_is_left_out_and_counted() -> None:
    votes = [*of_edits(TABLE), *(check(f"r{n}", "noise" if n == 2 else "source") for n in range(5))]
    found = only(votes, *attention(votes).failed)
    # Without r2: LLRR drawn, LR== : two ties lead, drawn, LLLL, RRRL, LL==: drawn.
    assert (found.won, found.drawn, found.lost) == (1, 3, 1)
    assert (found.votes, found.raters, found.left_out) == (20, 4, 1)
    assert found.percent.mean == pytest.approx(50)
    assert preferences(votes, leave_out=["r0", "r1", "r2", "r3", "r4"]) == ()


def test_each_question_and_each_two_variants_has_a_line() -> None:
    votes = [
        *of_edits({"v/e": "LLR"}, "text", "full", "pnp"),
        *of_edits({"v/e": "RRL"}, "text", "full", "cogvideo"),
        *of_edits({"v/e": "LLL"}, "consistency", "pnp", "full"),
    ]
    found = preferences(votes, order=["full"])
    assert [(one.question, one.first, one.second, one.won) for one in found] == [
        ("consistency", "full", "pnp", 0),
        ("text", "full", "cogvideo", 0),
        ("text", "full", "pnp", 1),
    ]
    turned = preferences(votes, order=["pnp", "cogvideo"])
    assert [(one.first, one.second, one.won) for one in turned] == [
        ("pnp", "full", 1),
        ("cogvideo", "full", 1),
        ("pnp", "full", 0),
    ]


def test_nothing_and_next_to_nothing() -> None:
    assert preferences([]) == ()
    assert preferences([check("r", "source"), vote("r", "L", kind=Kind.REPEAT)]) == ()
    assert only([vote("r", "L")]).percent == Interval(mean=100, low=None, high=None)
    ties = only(of_edits({"v0/e": "=====", "v1/e": "==="}))
    assert (ties.drawn, ties.fewest, ties.percent) == (2, 3, Interval(mean=50, low=50, high=50))
    unanimous = only(of_edits({"v0/e": "LLLLL", "v1/e": "LLLLL"}))
    assert unanimous.percent == Interval(mean=100, low=100, high=100)


def test_edits_of_one_video_are_no_independent_witnesses() -> None:
    alike = only(of_edits({f"v{v}/e{e}": "LR"[v % 2] for v in range(10) for e in range(20)}))
    single = only(of_edits({f"v{v}/e": "LR"[v % 2] for v in range(10)}))
    assert alike.percent == single.percent


def test_an_interval_holds_the_true_share_about_95_times_in_100() -> None:
    random = Random(0)
    hits = 0
    for _ in range(100):
        table = {f"v{n}/e": "L" if random.random() < 0.7 else "R" for n in range(60)}
        found = only(of_edits(table)).percent
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 70 <= found.high
    assert 88 <= hits <= 100


@given(ballots(("full", "pnp", "cogvideo")), st.randoms())
def test_neither_order_nor_sides_matter(votes: list[Vote], random: Random) -> None:
    turned = [mirrored(one) if random.random() < 0.5 else one for one in votes]
    assert preferences(random.sample(turned, len(turned))) == preferences(votes)


@given(ballots())
def test_both_variants_percentages_make_a_hundred(votes: list[Vote]) -> None:
    for one, other in zip(preferences(votes), preferences(votes, order=["pnp"]), strict=True):
        assert (one.first, other.first) == ("full", "pnp")
        assert one.percent.mean + other.percent.mean == pytest.approx(100)
        assert (one.won, one.drawn, one.lost) == (other.lost, other.drawn, other.won)


@given(ballots())
def test_it_is_the_mean_of_the_edits_majorities(votes: list[Vote]) -> None:
    """By the definition, without any of the module's helpers."""
    seen: dict[tuple[str, str, str], Vote] = {}
    for one in sorted(votes, key=lambda one: (one.time, one.chosen or "")):
        if one.kind is Kind.FIRST:
            seen.setdefault((one.question, one.pair.edit, one.rater), one)
    by_edit: dict[tuple[str, str], list[str | None]] = defaultdict(list)
    for (question, edit, _), one in seen.items():
        by_edit[question, edit].append(one.chosen)
    for found in preferences(votes):
        wins = []
        for (question, _), chosen in by_edit.items():
            if question == found.question:
                full, pnp, ties = (chosen.count(name) for name in ("full", "pnp", None))
                wins.append(1.0 if full > max(pnp, ties) else 0.0 if pnp > max(full, ties) else 0.5)
        assert found.percent.mean == pytest.approx(100 * np.mean(wins))
        assert found.edits == len(wins)
