"""The background: its texture where the camera looks, in tint and light that no word names."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from tinyworld.backdrops import Pixels, draw_background
from tinyworld.details import Place
from tinyworld.scenes import BACKGROUNDS, SIZE, STYLES

EVEN = Place(offset=(0.3, 0.6), tint=0.0, light=0.0)
LOOKS = [(background, style) for background in BACKGROUNDS for style in STYLES]


def seen(
    background: str = "sea",
    style: str = "plain",
    place: Place = EVEN,
    camera: tuple[float, float, float] = (0, 0, 1),
) -> Pixels:
    return draw_background(background, style, place, np.array(camera))


@pytest.mark.parametrize(("background", "style"), LOOKS)
@pytest.mark.parametrize(("right", "down"), [(7, 0), (-7, 0), (0, 5), (3, -4)])
def test_a_shifted_camera_sees_the_same_ground_elsewhere(
    background: str, style: str, right: int, down: int
) -> None:
    before = seen(background, style)
    after = seen(background, style, camera=(right, down, 1))
    # What was at x is now at x - right.
    here = after[max(0, -down) : SIZE - max(0, down), max(0, -right) : SIZE - max(0, right)]
    there = before[max(0, down) : SIZE - max(0, -down), max(0, right) : SIZE - max(0, -right)]
    assert np.abs(here - there).max() < 1e-6
    assert np.abs(after - before).mean() > 1, "a shift that nobody sees"


@pytest.mark.parametrize(("background", "style"), LOOKS)
def test_a_nearer_camera_sees_the_middle_enlarged(background: str, style: str) -> None:
    near = seen(background, style, camera=(0, 0, 3))
    third = SIZE // 3 + 1
    far = seen(background, style)[third:-third, third:-third]
    # With three pixels for each, the middle one of these is where the one was.
    assert np.abs(near[3:-3:3, 3:-3:3][: len(far), : len(far)] - far).max() < 1e-6


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_offset_tint_and_light_are_seen(background: str) -> None:
    plain = seen(background)
    moved = seen(background, place=replace(EVEN, offset=(0.41, 0.13)))
    assert np.abs(moved - plain).mean() > 1
    shifted = replace(EVEN, offset=(0.3 + 7 / SIZE, 0.6))
    assert np.allclose(seen(background, place=shifted), seen(background, camera=(7, 0, 1)))
    warm = seen(background, place=replace(EVEN, tint=1.0)) - plain
    cold = seen(background, place=replace(EVEN, tint=-1.0)) - plain
    assert np.allclose(warm, -cold)
    assert warm[..., 0].min() > 5
    assert warm[..., 2].max() < -5
    lit = seen(background, place=replace(EVEN, light=1.0)) / plain
    assert np.allclose(lit, lit[:1, :, :1]), "the same in every row and colour"
    assert np.allclose(lit[0, [0, -1], 0], [0.8, 1.2])


def test_every_background_and_style_looks_different() -> None:
    for style in STYLES:
        for one, other in itertools.combinations(BACKGROUNDS, 2):
            assert np.abs(seen(one, style) - seen(other, style)).mean() > 5, (one, other, style)
    for background in BACKGROUNDS:
        # A mosaic's tiles are laid over the whole picture in the end; a cartoon's road is hardly
        # another than a plain one: the things on it tell.
        for one, other in itertools.combinations(("plain", "cartoon", "sketch"), 2):
            least = 1 if (background, one, other) == ("road", "plain", "cartoon") else 5
            assert np.abs(seen(background, one) - seen(background, other)).mean() > least
