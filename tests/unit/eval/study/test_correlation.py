"""Measures against votes, beside scipy's rank correlation and by hand."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from eval.errors import EvalError
from eval.study.correlation import vote_correlations
from eval.study.votes import Vote
from eval.values import Value
from tests.ballots import mirrored, of_edits

CLIP, JITTER = "tav_paper_v1.textual_alignment", "tinyworld_v2.jitter"
RISING = {"v0/e": "RRRRR", "v1/e": "RRRRL", "v2/e": "LLRR=", "v3/e": "LLLLR", "v4/e": "LLLLL"}


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval.study.resampling.RESAMPLES", 200)


def values(variant: str, numbers: list[float | None], measure: str = CLIP) -> Iterator[Value]:
    """Of edits v0/e, v1/e and so on."""
    protocol, _, name = measure.rpartition(".")
    for at, number in enumerate(numbers):
        yield Value(f"v{at}", f"v{at}/e", variant, "object", protocol, "clip", name, number)


def test_a_measure_that_orders_edits_as_people_do_agrees() -> None:
    scores = [*values("full", [1, 2, 3, 4, 9]), *values("pnp", [1, 1, 1, 1, 1])]
    (found,) = vote_correlations(of_edits(RISING), scores)
    assert found.rho.mean == pytest.approx(1)
    assert (found.question, found.variants, found.edits) == ("consistency", ("full", "pnp"), 5)
    assert found.measure == ("tav_paper_v1", "clip", "textual_alignment")
    assert (found.rho.low, found.rho.high) == pytest.approx((1, 1))


def test_it_is_the_difference_of_both_that_counts() -> None:
    scores = [*values("full", [9, 4, 3, 2, 1]), *values("pnp", [19, 12, 9, 6, 3])]
    (found,) = vote_correlations(of_edits(RISING), scores)
    assert found.rho.mean == pytest.approx(1), "-10, -8, -6, -4, -2, though full's own values fall"


def test_what_is_better_when_low_agrees_where_it_falls() -> None:
    scores = [*values("full", [9, 8, 7, 6, 5], JITTER), *values("pnp", [1] * 5, JITTER)]
    (found,) = vote_correlations(of_edits(RISING), scores)
    assert found.rho.mean == pytest.approx(1)


@settings(max_examples=25)
@given(
    st.lists(st.text("LR=", min_size=3, max_size=3), min_size=6, max_size=6),
    st.lists(st.integers(0, 4), min_size=6, max_size=6),
    st.lists(st.integers(0, 4), min_size=6, max_size=6),
    st.randoms(),
)
def test_it_is_scipys(letters: list[str], full: list[int], pnp: list[int], random: Random) -> None:
    votes = of_edits({f"v{at}/e": row for at, row in enumerate(letters)})
    scores = [*values("full", list(map(float, full))), *values("pnp", list(map(float, pnp)))]
    shares = [row.count("L") + row.count("=") / 2 for row in letters]
    differences = [one - other for one, other in zip(full, pnp, strict=True)]
    found = vote_correlations(votes, scores)
    turned = [mirrored(one) if random.random() < 0.5 else one for one in votes]
    assert vote_correlations(random.sample(turned, len(turned)), scores) == found
    if len(set(shares)) == 1 or len(set(differences)) == 1:
        assert found == ()
        return
    assert found[0].rho.mean == pytest.approx(spearmanr(differences, shares)[0])
    if found[0].rho.low is not None:
        assert found[0].rho.high is not None
        assert -1 - 1e-9 <= found[0].rho.low <= found[0].rho.high <= 1 + 1e-9


def test_which_variant_is_the_first_does_not_matter() -> None:
    """Both the difference and the share turn round."""
    letters, numbers = ["RRR", "LRR", "LRL", "RLL", "LLL"], [3.0, 1, 2, 5, 4]
    table = {f"v{at}/e": row for at, row in enumerate(letters)}
    found = []
    for ours, theirs in (("a", "z"), ("z", "a")):
        votes = of_edits(table, left=ours, right=theirs)
        scores = [*values(ours, [*numbers]), *values(theirs, [0] * 5)]
        (one,) = vote_correlations(votes, scores)
        found.append(one.rho)
    assert found[0].mean == pytest.approx(found[1].mean)
    assert found[0].mean == pytest.approx(spearmanr(numbers, [0, 1, 2, 2, 3])[0])


def test_edits_that_lack_a_value_or_votes_are_left_out() -> None:
    scores = [
        *values("full", [1, None, 3, 4, 5, 6]),
        *values("pnp", [0] * 6),
        *values("full", [1, 2, 3, 4, None], JITTER),
        *values("pnp", [None, 1, 1, 1, 1], JITTER),
    ]
    (found,) = vote_correlations(of_edits(RISING), scores)
    assert (found.measure[2], found.edits) == ("textual_alignment", 4), "3 of jitter are too few"


def test_of_two_values_of_one_edit_the_later_one_counts() -> None:
    scores = [*values("full", [5, 4, 3, 2, 1]), *values("full", [1, 2, 3, 4, 5])]
    (found,) = vote_correlations(of_edits(RISING), [*scores, *values("pnp", [0] * 5)])
    assert found.rho.mean == pytest.approx(1)


def test_edits_of_one_video_are_no_independent_witnesses() -> None:
    """Thrice the same edits of each video: the same ranks and the same draws of videos."""
    letters = ["RRR", "RRL", "RLL", "RRL", "LLL", "LL=", "R==", "L=="]
    numbers = [1.0, 3, 2, 5, 8, 4, 6, 7]
    found = []
    for edits in (1, 3):
        names = [(f"v{at}", f"v{at}/e{edit}", at) for at in range(8) for edit in range(edits)]
        votes = of_edits({edit: letters[at] for _, edit, at in names})
        scores = [
            Value(
                video, edit, variant, "object", "a_v1", "", "b", numbers[at] * (variant == "full")
            )
            for video, edit, at in names
            for variant in ("full", "pnp")
        ]
        (one,) = vote_correlations(votes, scores)
        found.append(one.rho)
    assert found[0].low is not None
    assert found[0].high is not None
    assert found[0].low < found[0].mean < found[0].high
    assert (found[1].low, found[1].mean, found[1].high) == pytest.approx(
        (found[0].low, found[0].mean, found[0].high)
    )


def test_one_video_has_no_interval() -> None:
    table = {f"v0/e{at}": row for at, row in enumerate(RISING.values())}
    scores = [
        Value("v0", f"v0/e{at}", variant, "object", "a_v1", "", "b", at * (variant == "full"))
        for at in range(5)
        for variant in ("full", "pnp")
    ]
    (found,) = vote_correlations(of_edits(table), scores)
    assert (found.rho.low, found.rho.high) == (None, None)


def test_an_equal_measure_or_unanimous_votes_order_nothing() -> None:
    equal = [*values("full", [1] * 5), *values("pnp", [2] * 5)]
    assert vote_correlations(of_edits(RISING), equal) == ()
    rising = [*values("full", [1, 2, 3, 4, 5]), *values("pnp", [0] * 5)]
    assert vote_correlations(of_edits(dict.fromkeys(RISING, "LLL")), rising) == ()


def test_votes_without_scores_are_refused_and_no_votes_have_none() -> None:
    scores = [*values("full", [1, 2, 3]), *values("pnp", [0] * 3)]
    with pytest.raises(EvalError, match="over 4 edits or more that have votes and a measure"):
        vote_correlations(of_edits(RISING), scores)
    assert vote_correlations([], scores) == ()


def test_judges_are_not_mixed_and_who_failed_is_left_out() -> None:
    def judged(judge: str, numbers: list[float]) -> list[Value]:
        both = [*values("full", [*numbers]), *values("pnp", [0] * 5)]
        return [one._replace(judge=judge) for one in both]

    votes: list[Vote] = of_edits({edit: row + "R" * 9 for edit, row in RISING.items()})
    scores = [*judged("b", [5, 4, 3, 2, 1]), *judged("a", [1, 2, 3, 4, 5])]
    found = vote_correlations(votes, scores)
    assert [one.measure[1] for one in found] == ["a", "b"]
    assert [one.rho.mean for one in found] == pytest.approx([1, -1])
    assert vote_correlations(votes, scores, leave_out=[f"r{n}" for n in range(5)]) == ()
