"""One thing: its shape in its colour, and what no word names about it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from tinyworld.details import PATTERNS, RIMS, Look
from tinyworld.scenes import COLORS, SHAPES, SIZE, STYLES, Thing
from tinyworld.things import draw_thing

BARE = Look(pattern="bare", rim="thin", phase=0.3, shade=0.0, size=14.0)
EACH = pytest.mark.parametrize("shape", SHAPES)
STYLED = pytest.mark.parametrize("style", [style for style in STYLES if style != "mosaic"])
Drawn = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def drawn(
    look: Look = BARE,
    *,
    color: str = "red",
    shape: str = "fish",
    style: str = "plain",
    at: tuple[float, float] = (31.5, 31.5),
    zoom: float = 1.0,
) -> Drawn:
    return draw_thing(Thing(color=color, shape=shape), look, style, *at, zoom)


def inside(coverage: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    return np.asarray(coverage > 0.5)


@EACH
@STYLED
def test_a_thing_is_around_its_middle_and_as_large_as_told(shape: str, style: str) -> None:
    rgb, coverage = drawn(shape=shape, style=style)
    assert rgb.shape == (SIZE, SIZE, 3)
    assert coverage.shape == (SIZE, SIZE)
    assert (coverage.min(), coverage.max()) == (0, 1)
    assert rgb.min() >= 0
    assert rgb.max() <= 255
    rows, columns = np.nonzero(inside(coverage))
    assert np.hypot(rows.mean() - 31.5, columns.mean() - 31.5) < 5
    assert 0.7 * 14 < np.ptp(columns) / 2 < 1.15 * 14


@EACH
def test_it_is_moved_and_enlarged_as_told(shape: str) -> None:
    _, here = drawn(shape=shape)
    _, there = drawn(shape=shape, at=(38.5, 27.5))
    assert np.allclose(np.roll(here, (-4, 7), axis=(0, 1)), there)
    _, near = drawn(shape=shape, zoom=1.3)
    _, large = drawn(replace(BARE, size=14 * 1.3), shape=shape)
    assert np.array_equal(near, large)
    assert near.sum() == pytest.approx(1.3**2 * here.sum(), rel=0.05)


@EACH
@STYLED
def test_patterns_differ_and_all_but_the_hat_stay_on_the_thing(shape: str, style: str) -> None:
    pictures = {
        pattern: drawn(replace(BARE, pattern=pattern), shape=shape, style=style)
        for pattern in PATTERNS
    }
    body = inside(pictures["bare"][1])
    for one, other in itertools.combinations(PATTERNS, 2):
        seen = [rgb * coverage[..., None] for rgb, coverage in (pictures[one], pictures[other])]
        assert np.abs(seen[0] - seen[1]).sum() / body.sum() > 8, (one, other)
    for pattern in ("stripes", "spots"):
        assert np.array_equal(pictures[pattern][1], pictures["bare"][1])
    bare, hat = pictures["bare"], pictures["hat"]
    top, cap = (np.nonzero(inside(coverage))[0].min() for _, coverage in (bare, hat))
    assert cap < top, "the hat is worn on top"
    assert (hat[1] >= bare[1] - 1e-9).all()


@EACH
@STYLED
def test_rims_differ_at_the_edge(shape: str, style: str) -> None:
    (thin, body), (white, around) = (
        drawn(replace(BARE, rim=rim), shape=shape, style=style) for rim in RIMS
    )
    both = inside(body) & inside(around)
    change = np.abs(thin - white).max(axis=-1)
    within = both.copy()
    for axis, step in itertools.product((0, 1), (-4, 4)):
        within &= np.roll(both, step, axis=axis)
    edge = both & ~within
    assert change[edge].mean() > 15
    assert (white - thin)[edge].mean() > 0, "white is brighter"


def test_shades_rise_in_brightness_and_no_shade_is_another_colour() -> None:
    found = {}
    for color, own in COLORS.items():
        levels = []
        for shade in np.linspace(-1, 1, 5).tolist():
            rgb, coverage = drawn(replace(BARE, shade=shade), shape="ball", color=color)
            levels.append(np.median(rgb[inside(coverage)], axis=0))
        assert np.abs(levels[2] - np.array(own)).max() <= 1
        assert np.diff([level.mean() for level in levels]).min() > 5
        found[color] = np.array(levels)
    for one, other in itertools.combinations(found.values(), 2):
        assert np.linalg.norm(one[:, None] - other, axis=-1).min() > 50


@pytest.mark.parametrize("pattern", ["stripes", "spots"])
def test_a_pattern_starts_where_its_phase_says(pattern: str) -> None:
    one, other, period = (
        drawn(replace(BARE, pattern=pattern, phase=phase), shape="ball")[0]
        for phase in (0.0, 0.5, 0.0)
    )
    assert np.abs(one - other).mean() > 1
    assert np.array_equal(one, period)


@STYLED
def test_every_colour_and_shape_looks_different(style: str) -> None:
    for one, other in itertools.combinations(COLORS, 2):
        (first, where), (second, _) = (drawn(color=c, style=style) for c in (one, other))
        assert np.abs(first - second)[inside(where)].mean() > 10, (one, other)
    for one, other in itertools.combinations(SHAPES, 2):
        (_, here), (_, there) = (drawn(shape=s, style=style) for s in (one, other))
        assert (inside(here) ^ inside(there)).sum() > 0.1 * inside(here).sum(), (one, other)
