"""Intervals of means and of paired differences."""

from __future__ import annotations

import numpy as np
import pytest

from eval.ablation.statistics import difference, interval


def scores(*by_clip: list[float]) -> dict[tuple[str, str], float]:
    return {
        (f"clip {c}", f"edit {e}"): value
        for c, values in enumerate(by_clip)
        for e, value in enumerate(values)
    }


def test_every_clip_weighs_the_same() -> None:
    found = interval(scores([1, 1, 1], [5]))
    assert found is not None
    assert (found.mean, found.edits) == (3, 4)
    assert (found.low, found.high) == (1, 5)


def test_edits_of_one_clip_are_no_independent_witnesses() -> None:
    rng = np.random.default_rng(0)
    clips = rng.normal(0, 1, 10)
    alike = interval(scores(*[[value] * 30 for value in clips.tolist()]))
    single = interval(scores(*[[value] for value in clips.tolist()]))
    assert alike is not None
    assert single is not None
    assert alike.high - alike.low == pytest.approx(single.high - single.low)


def test_an_interval_holds_the_true_mean_about_95_times_in_100() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(100):
        found = interval(scores(*rng.normal(7, 2, (20, 2)).tolist()))
        assert found is not None
        hits += found.low <= 7 <= found.high
    assert 85 <= hits <= 99  # the percentile interval is a little narrow for 20 clips


def test_a_pair_s_difference_is_surer_than_its_parts() -> None:
    rng = np.random.default_rng(2)
    levels = rng.normal(0, 10, 12)
    one, other = (scores(*[[v + gap] for v in levels.tolist()]) for gap in (0.5, 0.0))
    found = difference(one, other)
    assert found is not None
    assert found.mean == pytest.approx(0.5)
    assert found.excludes_zero
    whole = interval(one)
    assert whole is not None
    assert not whole.excludes_zero


def test_an_edit_that_one_lacks_is_in_no_pair() -> None:
    one, other = scores([1, 2], [3, 4]), scores([0, 0], [0])
    found = difference(one, other)
    assert found is not None
    assert found.edits == 3


def test_one_clip_or_none_has_no_interval() -> None:
    assert interval({}) is None
    assert interval(scores([1, 2, 3])) is None
