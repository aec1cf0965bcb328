"""Variants against each other, and when one counts as fallen behind."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.compare import Cell, Comparison, compare
from eval.errors import EvalError
from eval.values import Value

CONSISTENCY, FLICKER = "tav_paper_v1.frame_consistency", "tinyworld_v2.flicker"
TWO = {"full": None, "other": "full"}
Scores = Mapping[str, float | None]
"""By ``video/edit``."""


def values(variant: str, name: str, scores: Scores, judge: str = "clip") -> list[Value]:
    protocol, measure = name.split(".")
    return [
        Value(edit.split("/")[0], edit, variant, edit.split("/")[-1], protocol, judge, measure, one)
        for edit, one in scores.items()
    ]


def of(found: Comparison, variant: str, name: str, category: str | None = None) -> Cell:
    (cell,) = [
        one
        for one in found.cells
        if (one.variant, one.name, one.category) == (variant, name, category)
    ]
    return cell


def against(
    now: Scores, before: Scores, name: str = CONSISTENCY, bound: float | None = None
) -> Comparison:
    every = [*values("full", name, before), *values("other", name, now)]
    return compare(every, TWO, {} if bound is None else {name: bound})


def test_differences_are_paired_and_first_minus_other() -> None:
    found = against({"a/x": 2, "a/y": 4, "b/x": 1}, {"a/x": 3, "a/y": 5, "b/x": 4})
    cell = of(found, "other", CONSISTENCY)
    assert cell.difference is not None
    assert (cell.difference.mean, cell.difference.low, cell.difference.high) == (2, 1, 3)
    assert (cell.pairs, cell.lost, cell.edits, cell.missing) == (3, 0, 3, 0)
    assert cell.mean is not None
    assert cell.mean.mean == 2  # of 3 and 1: a video weighs the same however many edits it has
    first = of(found, "full", CONSISTENCY)
    assert (first.against, first.difference, first.pairs) == (None, None, 0)


def test_a_win_is_what_is_better_by_the_measure_and_ties_are_exact() -> None:
    now = {"a/x": 2.0, "b/x": 1.0, "c/x": 7.0, "d/x": 0.3}
    before = {"a/x": 1.0, "b/x": 1.0, "c/x": 7.5, "d/x": 0.1 + 0.2}
    higher = of(against(now, before), "other", CONSISTENCY)
    lower = of(against(now, before, FLICKER), "other", FLICKER)
    assert (higher.wins, higher.ties, higher.losses) == (1, 1, 2)
    assert (lower.wins, lower.ties, lower.losses) == (2, 1, 1)
    assert higher.worse_by == -lower.worse_by


@pytest.mark.parametrize("gone", [None, math.nan, math.inf])
def test_an_edit_that_one_lacks_is_in_no_pair_and_is_counted(gone: float | None) -> None:
    found = against({"a/x": 1, "b/x": gone, "c/x": 5}, {"a/x": 2, "b/x": 3, "d/x": gone})
    other, full = (of(found, name, CONSISTENCY) for name in ("other", "full"))
    assert (other.edits, other.missing, other.pairs, other.lost) == (2, 1, 1, 1)
    assert (full.edits, full.missing) == (2, 1)
    assert other.difference is not None
    assert (other.difference.mean, other.difference.low) == (1, None)  # of one video


def test_a_variant_without_a_score_is_shown_and_has_none() -> None:
    found = against({}, {"a/x": 1, "b/x": 2})
    cell = of(found, "other", CONSISTENCY)
    assert (cell.mean, cell.difference, cell.edits, cell.missing) == (None, None, 0, 2)
    assert math.isnan(cell.worse_by)
    assert found.changes == {}


def test_categories_are_compared_apart() -> None:
    found = against({"a/x": 1, "a/y": 5, "b/x": 2}, {"a/x": 2, "a/y": 5, "b/x": 4})
    assert of(found, "other", CONSISTENCY, "x").pairs == 2
    y = of(found, "other", CONSISTENCY, "y")
    assert (y.pairs, y.ties) == (1, 1)
    assert [cell.category for cell in found.cells[::2]] == [None, "x", "y"]


def test_judges_and_protocols_are_never_mixed() -> None:
    old = values("full", CONSISTENCY, {"a/x": 90, "b/x": 92}, judge="old")
    new = values("other", CONSISTENCY, {"a/x": 50, "b/x": 60}, judge="new")
    found = compare([*old, *new], TWO, {CONSISTENCY: 50})
    assert all(cell.pairs == 0 for cell in found.cells)
    (line,) = found.regressions
    assert "2 edit(s) lack it now: another model judged them" in line
    rave = values("other", "rave_v1.frame_consistency", {"a/x": 0.9})
    assert {cell.name for cell in compare([*old, *rave], TWO).cells} == {
        CONSISTENCY,
        "rave_v1.frame_consistency",
    }


def test_worse_means_less_or_more_as_the_measure_says() -> None:
    lines = []
    for name, now in ((CONSISTENCY, (89.0, 91.0)), (FLICKER, (94.0, 94.0))):
        found = against({"a/x": now[0], "b/x": now[1]}, {"a/x": 92, "b/x": 92}, name, bound=1.5)
        assert found.changes[name].worse_by == 2
        lines += found.regressions
    assert "is 90.00 and was 92.00: worse by 2.00, but at most 1.5 is allowed" in lines[0]
    assert lines[1].startswith(f"{FLICKER} is 94.00")
    assert against({"a/x": 90.5}, {"a/x": 92}, bound=1.5).regressions == []


def test_a_lost_edit_is_a_regression_where_there_is_a_bound() -> None:
    now, before = {"a/x": 90.0, "new/x": 0.0}, {"a/x": 90.0, "lost/x": 10.0}
    (line,) = against(now, before, bound=50).regressions
    assert "1 edit(s) lack it now" in line
    assert against(now, before).regressions == []
    (line,) = against({}, before, bound=50).regressions
    assert "cannot be compared: 2 edit(s) lack it now" in line


def test_bounds_hold_for_the_variants_that_are_named() -> None:
    every = [
        *values("full", CONSISTENCY, {"a/x": 9}),
        *values("bad", CONSISTENCY, {"a/x": 1}),
        *values("again", CONSISTENCY, {"a/x": 9}),
    ]
    columns = {"full": None, "bad": "full", "again": "full"}
    assert compare(every, columns, {CONSISTENCY: 1}, ["again"]).regressions == []
    found = compare(every, columns, {CONSISTENCY: 1})
    (line,) = found.regressions
    assert line.startswith(f"bad: {CONSISTENCY} is 1.00")
    assert set(found.changes) == {f"bad.{CONSISTENCY}", f"again.{CONSISTENCY}"}


def test_bounds_must_make_sense() -> None:
    for bound in (-1.0, math.nan, math.inf):
        with pytest.raises(EvalError, match="must be 0 or more"):
            against({}, {"a/x": 1}, bound=bound)
    one = values("full", CONSISTENCY, {"a/x": 1})
    with pytest.raises(EvalError, match="which the baseline does not hold: it has tav_paper_v1"):
        compare(one, TWO, {"tav_paper_v1.flicke": 1})
    with pytest.raises(EvalError, match="it has no score at all"):
        compare([], TWO, {CONSISTENCY: 1})


names = st.text("ab/", min_size=1).map(lambda name: f"v{name}")
scores = st.dictionaries(names, st.floats(-100, 100), min_size=1, max_size=12)


@settings(max_examples=25, deadline=None)
@given(scores, st.floats(0, 10))
def test_nothing_is_worse_than_itself(one: dict[str, float], bound: float) -> None:
    found = against(one, one, bound=bound)
    assert found.regressions == []
    assert all(cell.wins == cell.losses == 0 for cell in found.cells)


@settings(max_examples=25, deadline=None)
@given(scores, scores, st.integers())
def test_what_one_loses_the_other_wins_in_whatever_order(
    one: dict[str, float], other: dict[str, float], seed: int
) -> None:
    there = of(against(one, other), "other", CONSISTENCY)
    back = of(against(other, one), "other", CONSISTENCY)
    assert there.worse_by == pytest.approx(-back.worse_by, nan_ok=True)
    assert (there.wins, there.ties, there.losses) == (back.losses, back.ties, back.wins)
    every = [*values("full", CONSISTENCY, other), *values("other", CONSISTENCY, one)]
    mixed = random.Random(seed).sample(every, len(every))
    assert of(compare(mixed, TWO), "other", CONSISTENCY) == there
