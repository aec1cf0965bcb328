"""Percentages with their intervals over clusters, beside scipy's bootstrap and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from eval.bootstrap import Interval
from eval.study.resampling import RESAMPLES, percentage, percentile_interval, times_drawn


def test_a_resample_draws_as_many_as_there_are_each_as_often() -> None:
    times = times_drawn(7)
    assert times.shape == (RESAMPLES, 7)
    assert (times.sum(axis=1) == 7).all()
    assert times.mean(axis=0) == pytest.approx(np.ones(7), abs=0.1)
    assert times.var(axis=0) == pytest.approx(np.full(7, 6 / 7), abs=0.15)
    np.testing.assert_array_equal(times, times_drawn(7))


def test_it_is_scipys_bootstrap_of_a_ratio() -> None:
    rng = np.random.default_rng(3)
    wholes = rng.integers(1, 6, 40).astype(float)
    parts = np.floor(rng.random(40) * (wholes + 1))
    theirs = bootstrap(
        (parts, wholes),
        lambda part, whole, axis: 100 * part.sum(axis=axis) / whole.sum(axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=20_000,
        rng=rng,
    ).confidence_interval
    found = percentage(parts, wholes)
    assert found.mean == pytest.approx(100 * parts.sum() / wholes.sum())
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1)


def test_one_cluster_has_no_interval() -> None:
    assert percentage(np.array([1.0]), np.array([4.0])) == Interval(mean=25, low=None, high=None)


def test_what_is_no_number_is_no_resample() -> None:
    nan = np.nan
    assert percentile_interval(2, np.array([nan, 1, nan, 1])) == Interval(mean=2, low=1, high=1)
    assert percentile_interval(2, np.array([nan, 1])) == Interval(mean=2, low=None, high=None)
