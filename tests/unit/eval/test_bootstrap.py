"""Intervals of means over videos."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from eval.bootstrap import RESAMPLES, Floats, Interval, intervals, video_means


def of_edits(*by_video: list[float]) -> Floats:
    """Each video's mean over its edits."""
    videos = [number for number, values in enumerate(by_video) for _ in values]
    return video_means(np.array([v for values in by_video for v in values]), np.array(videos))


def interval(*by_video: list[float]) -> Interval:
    (found,) = intervals([of_edits(*by_video)])
    assert found is not None
    return found


def width(found: Interval) -> float:
    assert found.low is not None
    assert found.high is not None
    return found.high - found.low


def test_every_video_weighs_the_same() -> None:
    assert interval([1, 1, 1], [5]) == Interval(mean=3, low=1, high=5)


def test_an_edit_without_a_value_is_in_no_mean() -> None:
    nan = float("nan")
    assert of_edits([nan, 4], [nan], [1, nan, 3]).tolist() == [4, 2]


def test_edits_of_one_video_are_no_independent_witnesses() -> None:
    videos = np.random.default_rng(0).normal(0, 1, 10).tolist()
    alike = interval(*[[value] * 30 for value in videos])
    single = interval(*[[value] for value in videos])
    assert width(alike) == pytest.approx(width(single))


def test_an_interval_holds_the_true_mean_about_95_times_in_100() -> None:
    rng = np.random.default_rng(1)
    found = intervals([of_edits(*rng.normal(7, 2, (20, 2)).tolist()) for _ in range(100)])
    hits = sum(bool(one and one.low and one.high and one.low <= 7 <= one.high) for one in found)
    assert 85 <= hits <= 99  # the percentile interval is a little narrow for 20 videos


def test_one_video_has_a_mean_alone_and_none_has_nothing() -> None:
    one, none = intervals([np.array([2.0]), np.array([])])
    assert one == Interval(mean=2, low=None, high=None)
    assert not one.excludes_zero
    assert none is None


counts = st.lists(st.integers(1, 12), min_size=2, max_size=20)


@settings(max_examples=25, deadline=None)
@given(counts, st.integers(0, 2**32 - 1))
def test_it_is_scipys_percentile_bootstrap_to_the_last_bit(edits: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    by_video = [(rng.integers(0, 9, count) * 12.5).tolist() for count in edits]
    means = np.array([np.mean(values) for values in by_video])
    theirs = bootstrap(
        (means,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=0.95,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert interval(*by_video) == Interval(
        mean=float(means.mean()), low=float(theirs.low), high=float(theirs.high)
    )


def test_many_videos_take_bounded_memory_and_mean_the_same() -> None:
    means = np.random.default_rng(2).normal(50, 10, 3000)
    tracemalloc.start()
    (found,) = intervals([means])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found is not None
    assert peak < 150e6  # all draws at once are 240 MB, and what they pick as much again
    drawn = np.random.default_rng(0).integers(0, 3000, (RESAMPLES, 3000))
    expected = np.quantile([means[one].mean() for one in drawn], (0.025, 0.975))
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=1e-9)
