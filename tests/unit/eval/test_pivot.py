"""Values as arrays of one order of edits."""

from __future__ import annotations

import math

import numpy as np

from eval.pivot import Table
from eval.values import Value

KIND = ("a_v1", "clip", "flicker")


def value(edit: str, number: float | None, variant: str = "full", category: str = "style") -> Value:
    return Value(edit.split("/", maxsplit=1)[0], edit, variant, category, *KIND, number)


def test_edits_are_in_order_whatever_the_order_of_values() -> None:
    table = Table.of([value("b/x", 3), value("a/y", 2), value("a/x", 1), value("c/x", None)])
    assert table.columns[KIND]["full"].tolist() == [1, 2, 3]
    assert table.videos_E.tolist() == [0, 0, 1]


def test_what_a_variant_lacks_is_nan_and_the_later_of_two_counts() -> None:
    table = Table.of([value("a/x", 1), value("b/x", 2, "pnp"), value("a/x", 5), value("b/x", 1e9)])
    np.testing.assert_array_equal(table.columns[KIND]["full"], [5, 1e9])
    np.testing.assert_array_equal(table.columns[KIND]["pnp"], [math.nan, 2])


def test_an_edit_has_the_category_of_its_first_value() -> None:
    table = Table.of(
        [value("a/x", 1), value("a/x", 2, "pnp", "object"), value("b/x", 1, "pnp", "a")]
    )
    assert [table.categories[code] for code in table.categories_E] == ["style", "a"]


def test_nothing_has_an_empty_table() -> None:
    table = Table.of([])
    assert (table.columns, table.videos_E.shape, table.categories) == ({}, (0,), [])
