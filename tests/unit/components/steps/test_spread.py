"""How items are dealt to tasks."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from components.steps.score import ScoreItem
from components.steps.spread import deal, items_from_json, items_to_json


@given(
    sizes=st.lists(st.integers(1, 6), max_size=120),
    workers=st.integers(1, 9),
    most=st.integers(1, 40),
)
def test_every_item_is_dealt_once_and_no_group_is_torn(
    sizes: list[int], workers: int, most: int
) -> None:
    groups = [[(group, item) for item in range(size)] for group, size in enumerate(sizes)]
    tasks = deal(groups, workers, most)
    assert [item for task in tasks for item in task] == [item for group in groups for item in group]
    for task in tasks:
        assert task
        assert task[0][1] == 0  # begins with a whole group
        assert len(task) <= most or len({group for group, _ in task}) == 1
    left = sum(sizes)
    for task in tasks:
        # No more than its share, but for the rest of the group that reached it.
        assert len(task) < math.ceil(left / (4 * workers)) + max(sizes)
        left -= len(task)


def test_few_items_are_spread_over_all_workers() -> None:
    assert [len(task) for task in deal([[n] for n in range(8)], 4, 16)] == [1] * 8
    many = [len(task) for task in deal([[n] for n in range(1000)], 2, 100)]
    assert many[0] == 100
    assert many[-1] == 1
    assert len(many) < 50


def test_items_travel_as_they_are() -> None:
    item = ScoreItem(
        item_key="k",
        video_id="v",
        edit_id="v/e",
        edit_key="e",
        method="m",
        prompt='a "fish", \u00e4\u6c34',
        category="style",
        video_uri="u",
        sha256="0",
        protocol="tav_paper_v1",
        source={"frame_indices": [0, 3], "fps": 7.5, "more": None},
    )
    assert items_from_json(items_to_json([item, item]), ScoreItem) == [item, item]
    assert items_from_json(items_to_json([]), ScoreItem) == []
