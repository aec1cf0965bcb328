"""Means of values in long form."""

from __future__ import annotations

import math

import pytest

from eval.values import Mean, Value, means


def value(
    number: float | None, variant: str = "full", category: str = "style", protocol: str = "a_v1"
) -> Value:
    return Value("car", "car/snow", variant, category, protocol, "clip", "flicker", number)


def test_means_are_by_the_fields_that_are_asked_for() -> None:
    values = [
        value(1),
        value(3, category="object"),
        value(5, protocol="b_v1"),
        value(8, variant="pnp", category="object"),
    ]
    by_protocol = means(values, ("protocol",))
    assert by_protocol["a_v1",] == Mean(value=4, count=3, missing=0)
    assert by_protocol["b_v1",] == Mean(value=5, count=1, missing=0)
    assert means(values, ("variant", "category"))["full", "object"].value == 3
    assert means([], ("protocol",)) == {}


@pytest.mark.parametrize("missing", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_counted_and_not_averaged(missing: float | None) -> None:
    assert not value(missing).is_there
    found = means([value(missing), value(2)], ("measure",))
    assert found == {("flicker",): Mean(value=2, count=1, missing=1)}
    alone = means([value(missing)], ("measure",))["flicker",]
    assert (alone.value, alone.count, alone.missing) == (None, 0, 1)
