from __future__ import annotations

import math

import pytest

from eval.aggregate import Aggregate, Score, aggregate


def score(
    category: str, consistency: float | None, alignment: float | None, protocol: str = "a_v1"
) -> Score:
    return Score(
        protocol=protocol,
        category=category,
        values={"frame_consistency": consistency, "textual_alignment": alignment},
    )


def by_name(aggregates: list[Aggregate]) -> dict[tuple[str, str | None], Aggregate]:
    return {(one.protocol, one.category): one for one in aggregates}


def test_every_edit_counts_the_same_overall() -> None:
    scores = [score("style", 90, 20), score("style", 80, 30), score("object", 50, 10)]
    found = by_name(aggregate(scores))
    assert found["a_v1", "style"].means["frame_consistency"].value == pytest.approx(85)
    # The mean of the category means would be 67.5.
    assert found["a_v1", None].means["frame_consistency"].value == pytest.approx(220 / 3)
    assert found["a_v1", None].means["textual_alignment"].value == pytest.approx(20)
    assert found["a_v1", None].count == 3


def test_categories_are_in_order_and_overall_is_last() -> None:
    aggregates = aggregate([score("style", 1, 1), score("background", 1, 1)])
    assert [one.category for one in aggregates] == ["background", "style", None]


def test_protocols_are_never_mixed() -> None:
    found = by_name(aggregate([score("style", 90, 20), score("style", 10, 2000, protocol="b_v1")]))
    assert found["a_v1", None].means["frame_consistency"].value == 90
    assert found["b_v1", None].means["textual_alignment"].value == 2000


@pytest.mark.parametrize("missing", [None, math.nan])
def test_a_missing_score_is_no_zero(missing: float | None) -> None:
    found = by_name(aggregate([score("style", 90, 20), score("style", missing, 40)]))
    consistency = found["a_v1", None].means["frame_consistency"]
    assert (consistency.value, consistency.count, consistency.missing) == (90, 1, 1)
    assert found["a_v1", None].means["textual_alignment"].value == 30
    assert found["a_v1", None].count == 2


def test_nothing_there_has_no_mean() -> None:
    assert aggregate([]) == []
    (_, overall) = aggregate([score("style", None, None)])
    assert overall.means["frame_consistency"].value is None
    assert overall.count == 1
