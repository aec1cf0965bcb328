"""What nets do, measured: on drawn stills all is right, on others as much as is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tinyworld.draw import stills
from tinyworld.measures import visible_scenes
from tinyworld.reader import Reader
from tinyworld.scenes import Scene
from tinyworld.steered import in_front, placed


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return visible_scenes(80, seed=3, things=2)


def test_drawn_stills_have_all_in_place_and_those_of_other_scenes_do_not(
    scenes: list[Scene],
) -> None:
    reader = Reader.load()
    assert placed(reader.read(stills(scenes)), scenes) > 90
    elsewhere = [replace(scene, seed=scene.seed + 1) for scene in scenes]
    assert placed(reader.read(stills(elsewhere)), scenes) < 20


def test_who_is_in_front_is_told_by_colours(scenes: list[Scene]) -> None:
    frames = stills(scenes)
    right = in_front(frames, scenes)
    assert right is not None
    assert right > 90
    swapped = [
        replace(
            scene,
            things=tuple(
                replace(thing, color=other.color)
                for thing, other in zip(scene.things, scene.things[::-1], strict=True)
            ),
        )
        for scene in scenes
    ]
    other = in_front(frames, swapped)
    assert other is not None
    assert other < 10


def test_without_a_meeting_nobody_is_in_front(scenes: list[Scene]) -> None:
    apart = [s for s in scenes if in_front(np.zeros((1, 64, 64, 3), np.uint8), [s]) is None]
    assert apart, "some things are apart"
    assert in_front(stills(apart), apart) is None
