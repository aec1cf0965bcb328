"""Rank correlation of measures over variants, beside scipy's and by hand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from eval.correlation import correlations
from eval.errors import EvalError
from eval.values import Value

TRUTH, CLIP = "tinyworld_v2.edited_right", "tav_paper_v1.textual_alignment"
JITTER = "tinyworld_v2.jitter"


def values(measure: str, numbers: dict[str, list[float | None]]) -> Iterator[Value]:
    """Of each variant one edit of each video."""
    protocol, _, name = measure.rpartition(".")
    for variant, row in numbers.items():
        for at, number in enumerate(row):
            yield Value(f"v{at}", f"v{at}/e", variant, "object", protocol, "", name, number)


def by_variant(*rows: list[float]) -> dict[str, list[float | None]]:
    return {f"m{number}": list(row) for number, row in enumerate(rows)}


numbers = st.lists(
    st.lists(st.integers(0, 4).map(float), min_size=3, max_size=3), min_size=4, max_size=6
)


@settings(max_examples=10)  # each with ten thousand resamples
@given(numbers, numbers)
def test_it_is_scipys_of_the_variants_means(
    one: list[list[float]], other: list[list[float]]
) -> None:
    count = min(len(one), len(other))
    first, second = by_variant(*one[:count]), by_variant(*other[:count])
    means = [[float(np.mean(row)) for row in rows[:count]] for rows in (one, other)]
    if any(len(set(row)) == 1 for row in means):
        return
    (found,) = correlations([*values(CLIP, first), *values(TRUTH, second)], "tinyworld_v2")
    assert found.rho.mean == pytest.approx(spearmanr(means[0], means[1])[0])
    assert found.variants == count
    assert found.rho.low is not None
    assert found.rho.high is not None
    assert -1 - 1e-9 <= found.rho.low <= found.rho.high <= 1 + 1e-9


def test_what_is_better_when_low_agrees_where_it_falls() -> None:
    rising = by_variant([1, 2], [3, 4], [5, 6], [7, 8])
    falling = by_variant([9, 8], [7, 6], [5, 4], [3, 2])
    (found,) = correlations([*values(CLIP, rising), *values(JITTER, falling)], "tinyworld_v2")
    assert found.rho.mean == pytest.approx(1)
    assert (found.measure[2], found.with_measure[2]) == ("textual_alignment", "jitter")
    (found,) = correlations([*values(CLIP, rising), *values(JITTER, rising)], "tinyworld_v2")
    assert found.rho.mean == pytest.approx(-1)


def test_a_missing_value_is_no_zero() -> None:
    some: dict[str, list[float | None]] = {"a": [1, None], "b": [2, 2], "c": [None, 3], "d": [4, 4]}
    rising = by_variant([1, 1], [2, 2], [3, 3], [4, 4])
    named = dict(zip("abcd", rising.values(), strict=True))
    (found,) = correlations([*values(CLIP, some), *values(TRUTH, named)], "tinyworld_v2")
    assert found.rho.mean == pytest.approx(1)


def test_variants_that_lack_a_measure_are_left_out_and_counted() -> None:
    truth = by_variant([1], [2], [3], [4], [5])
    clip = {name: row for name, row in by_variant([1], [2], [3], [9]).items() if name != "m4"}
    (found,) = correlations([*values(CLIP, clip), *values(TRUTH, truth)], "tinyworld_v2")
    assert found.variants == 4
    assert (found.rho.low, found.rho.high) == (None, None), "one video says nothing of others"


def test_too_few_variants_or_no_such_protocol_are_refused() -> None:
    three = by_variant([1, 2], [3, 4], [5, 6])
    both = [*values(CLIP, three), *values(TRUTH, three)]
    with pytest.raises(EvalError, match="over 4 variants or more"):
        correlations(both, "tinyworld_v2")
    with pytest.raises(EvalError, match=r"no score is of protocol 'rave_v1': there are tav_paper"):
        correlations(both, "rave_v1")


def test_an_equal_measure_orders_nothing() -> None:
    rising = by_variant([1, 1], [2, 2], [3, 3], [4, 4])
    equal = by_variant([1, 1], [1, 1], [1, 1], [1, 1])
    found = correlations(
        [*values(CLIP, equal), *values(JITTER, rising), *values("a_v1.b", rising)], "tinyworld_v2"
    )
    assert [one.measure[0] for one in found] == ["a_v1"]
