"""When a benchmark counts as fallen behind."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.errors import EvalError
from eval.regression import compare

M = "tav_paper_v1.frame_consistency"
FLICKER = "tinyworld_v1.flicker"

scores = st.dictionaries(st.text("abc", min_size=1), st.floats(-100, 100), min_size=1)


def test_worse_means_less_or_more_as_the_measure_says() -> None:
    found = compare(
        {M: {"a": 89.0, "b": 91.0}, FLICKER: {"a": 12.0}},
        {M: {"a": 92.0, "b": 92.0}, FLICKER: {"a": 10.0}},
        {M: 1.5, FLICKER: 3.0},
    )
    assert found.changes[M].worse_by == 2
    assert found.changes[FLICKER].worse_by == 2
    (line,) = found.regressions
    assert "is 90.00 and was 92.00: worse by 2.00, but at most 1.5 is allowed" in line
    assert line in found.markdown()


def test_means_are_over_the_edits_of_both_and_a_lost_one_is_a_regression() -> None:
    found = compare({M: {"a": 90.0, "new": 0.0}}, {M: {"a": 90.0, "lost": 10.0}}, {M: 50})
    change = found.changes[M]
    assert (change.edits, change.missing, change.worse_by) == (1, 1, 0)
    assert "1 edit(s) lack it now" in found.regressions[0]
    assert compare({}, {M: {"a": 1.0}}, {}).regressions == []  # without a bound it is only shown


def test_bounds_must_make_sense() -> None:
    for bound in (-1.0, math.nan, math.inf):
        with pytest.raises(EvalError, match="must be 0 or more"):
            compare({}, {M: {"a": 1.0}}, {M: bound})
    with pytest.raises(EvalError, match="which the baseline does not hold: it has tav_paper_v1"):
        compare({}, {M: {"a": 1.0}}, {"tav_paper_v1.flicke": 1})


@given(scores, st.floats(0, 10))
def test_no_run_is_worse_than_itself(one: dict[str, float], bound: float) -> None:
    assert compare({M: one}, {M: one}, {M: bound}).regressions == []


@given(scores, scores)
def test_what_one_loses_the_other_wins(one: dict[str, float], other: dict[str, float]) -> None:
    there = compare({M: one}, {M: other}, {}).changes[M]
    back = compare({M: other}, {M: one}, {}).changes[M]
    assert there.worse_by == pytest.approx(-back.worse_by)
