"""Strengths, beside a maximum-likelihood fit of the model by scipy and in closed form."""

from __future__ import annotations

import math
from itertools import combinations
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from eval.errors import EvalError
from eval.study import ranking as ranking_module
from eval.study.ranking import PRIOR, Rank, ranking
from eval.study.votes import Vote
from tests.ballots import ballots, mirrored, of_edits, vote

Table = dict[tuple[str, str], tuple[int, int, int]]
"""By two variants: votes for the first, for the second, ties."""


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval.study.resampling.RESAMPLES", 200)


def votes_of(table: Table, videos: int = 1) -> list[Vote]:
    """Dealt over videos in turn, one edit each."""
    found = []
    for (left, right), (wins, losses, ties) in table.items():
        for place, letter in enumerate("L" * wins + "R" * losses + "=" * ties):
            edit = f"v{place % videos}/e"
            shown = of_edits({edit: letter}, left=left, right=right)[0]
            found.append(vote(f"r{place}", letter, pair=shown.pair))
    return found


def strengths(ranks: tuple[Rank, ...]) -> dict[str, float]:
    return {one.variant: one.strength.mean for one in ranks}


def likeliest(table: Table) -> dict[str, float]:
    """Davidson's model with the prior's wins, by a general minimiser."""
    names = sorted({name for pair in table for name in pair})

    def unlikelihood(parameters: np.ndarray) -> float:
        logs = dict(zip(names, parameters[:-1], strict=True))
        total = 1e-9 * float(parameters[:-1].sum()) ** 2  # pins the scale alone
        for (one, other), (wins, losses, ties) in table.items():
            weights = [logs[one], logs[other], math.log(2) + parameters[-1]]
            weights[2] += (logs[one] + logs[other]) / 2
            whole = float(np.logaddexp.reduce(weights if any_ties else weights[:2]))
            counts = (wins + PRIOR, losses + PRIOR, ties)
            total -= sum(c * (w - whole) for c, w in zip(counts, weights, strict=True) if c)
        return total

    any_ties = any(ties for _, _, ties in table.values())
    best = minimize(unlikelihood, np.zeros(len(names) + 1), tol=1e-12)
    logs = best.x[:-1] - best.x[:-1].mean()
    return dict(zip(names, map(float, logs), strict=True))


@pytest.mark.parametrize("ties", [0, 1, 40])
def test_of_two_variants_the_odds_are_those_of_the_votes(ties: int) -> None:
    found = ranking(votes_of({("full", "pnp"): (70, 30, ties)}))
    assert [one.variant for one in found] == ["full", "pnp"]
    difference = found[0].strength.mean - found[1].strength.mean
    assert difference == pytest.approx(math.log((70 + PRIOR) / (30 + PRIOR)), abs=1e-6)
    assert (found[0].wins, found[0].losses, found[0].ties) == (70, 30, ties)
    assert (found[1].wins, found[1].losses, found[1].ties) == (30, 70, ties)


counts = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 6))


@settings(max_examples=25)
@given(st.lists(counts.filter(any), min_size=6, max_size=6), st.sampled_from([0, 1]))
def test_it_is_the_likeliest_of_four_variants(rows: list[tuple[int, int, int]], tied: int) -> None:
    pairs = combinations(["cogvideo", "full", "pnp", "sdedit"], 2)
    table = {
        pair: (wins + 1, losses, tied * ties)
        for pair, (wins, losses, ties) in zip(pairs, rows, strict=True)
    }
    assert strengths(ranking(votes_of(table))) == pytest.approx(likeliest(table), abs=1e-3)


@pytest.mark.parametrize("ties", [0, 3])
def test_one_against_each_of_the_others(ties: int) -> None:
    """The common study: no baseline meets another. Then each difference is its own votes' odds
    (without ties, where evalica's own fit with ties swings for ever)."""
    table = {("full", "pnp"): (60, 40, ties), ("full", "cogvideo"): (90, 10, ties)}
    found = strengths(ranking(votes_of(table)))
    assert found == pytest.approx(likeliest(table), abs=1e-4)
    if not ties:
        assert found["full"] - found["pnp"] == pytest.approx(math.log(60.5 / 40.5), abs=1e-6)
        assert found["full"] - found["cogvideo"] == pytest.approx(math.log(90.5 / 10.5), abs=1e-6)
    assert sum(found.values()) == pytest.approx(0)


def test_a_variant_that_always_wins_is_finitely_strong() -> None:
    found = ranking(votes_of({("full", "pnp"): (700, 0, 0)}, videos=5))
    odds = found[0].strength.mean - found[1].strength.mean
    assert odds == pytest.approx(math.log(700.5 / 0.5), abs=1e-6)
    assert found[0].strength.low == pytest.approx(found[0].strength.mean), "as in any resample"
    found = ranking(votes_of({("full", "pnp"): (700, 0, 1)}))
    assert found[0].strength.mean - found[1].strength.mean == pytest.approx(odds, abs=1e-4)


def test_all_ties_are_equally_strong() -> None:
    found = ranking(votes_of({("full", "pnp"): (0, 0, 9), ("pnp", "sdedit"): (0, 0, 9)}, videos=3))
    assert strengths(found) == pytest.approx({"full": 0, "pnp": 0, "sdedit": 0})
    assert [one.rank for one in found] == [1, 1, 1]


def test_those_that_cannot_be_told_apart_share_a_rank() -> None:
    table = {
        ("full", "pnp"): (95, 5, 0),
        ("full", "sdedit"): (95, 5, 0),
        ("pnp", "sdedit"): (51, 49, 0),
    }
    found = ranking(votes_of(table, videos=20))
    assert [(one.variant, one.rank) for one in found] == [("full", 1), ("pnp", 2), ("sdedit", 2)]
    for one in found:
        assert one.strength.low is not None
        assert one.strength.high is not None
        assert one.strength.low < one.strength.mean < one.strength.high


def test_an_interval_is_over_videos() -> None:
    """Two videos that disagree: a resample has one of them twice, or both."""
    votes = of_edits({"v0/e": "LLLLLLLL", "v1/e": "RRRRLLLL"})
    full = ranking(votes)[0]
    assert full.strength.mean == pytest.approx(math.log(12.5 / 4.5) / 2, abs=1e-6)
    assert full.strength.low == pytest.approx(0, abs=1e-6)
    assert full.strength.high == pytest.approx(math.log(16.5 / 0.5) / 2, abs=1e-6)
    one_video = ranking(of_edits({"v0/e0": "LLLL", "v0/e1": "RRLL"}))[0]
    assert (one_video.strength.low, one_video.strength.high, one_video.rank) == (None, None, 1)


def test_what_was_never_compared_has_no_common_scale() -> None:
    votes = votes_of({("full", "pnp"): (3, 2, 0), ("cogvideo", "sdedit"): (1, 1, 0)})
    with pytest.raises(EvalError, match=r"compares cogvideo, sdedit with full, pnp: .* no common"):
        ranking(votes)
    chain = {("a", "b"): (1, 0, 0), ("c", "d"): (1, 0, 0), ("b", "c"): (1, 0, 0)}
    assert [one.variant for one in ranking(votes_of(chain))] == ["a", "b", "c", "d"]


def test_a_fit_that_does_not_converge_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking_module, "_LIMIT", 3)
    table = {("full", "pnp"): (60, 40, 3), ("full", "cogvideo"): (90, 10, 3)}
    with pytest.raises(EvalError, match=r"cogvideo, full, pnp do not converge in 3 iterations"):
        ranking(votes_of(table))


def test_each_question_is_ranked_by_itself_and_who_failed_is_left_out() -> None:
    votes = [
        *of_edits({"v0/e": "LLLR"}, "text"),
        *of_edits({"v0/e": "RRRL"}, "consistency"),
    ]
    found = ranking(votes)
    assert [(one.question, one.variant) for one in found] == [
        ("consistency", "pnp"),
        ("consistency", "full"),
        ("text", "full"),
        ("text", "pnp"),
    ]
    rest = ranking(votes, leave_out=["r0", "r1", "r2"])
    assert [(one.question, one.variant) for one in rest][::2] == [
        ("consistency", "full"),
        ("text", "pnp"),
    ]
    assert ranking([]) == ()


@settings(max_examples=10)
@given(ballots(("full", "pnp")), st.randoms())
def test_neither_order_nor_sides_matter(votes: list[Vote], random: Random) -> None:
    turned = [mirrored(one) if random.random() < 0.5 else one for one in votes]
    assert ranking(random.sample(turned, len(turned))) == ranking(votes)
