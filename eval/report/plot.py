"""The scatter plot of two metrics, as coordinates of an inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 560, 320
"""Of the drawing, in SVG units."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 16, 44


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """Points and ticks in SVG units."""

    points: list[tuple[float, float]]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


def scatter(values: Sequence[tuple[float, float]]) -> Plot:
    """Lay out points (x, y); both axes show round numbers around the data.

    Args:
        values: Finite numbers, at least one pair.
    """
    x_ticks = _round_numbers([x for x, _ in values])
    y_ticks = _round_numbers([y for _, y in values])

    def place_x(x: float) -> float:
        return _scale(x, x_ticks, _LEFT, WIDTH - _RIGHT)

    def place_y(y: float) -> float:
        return _scale(y, y_ticks, HEIGHT - _BOTTOM, _TOP)

    return Plot(
        points=[(place_x(x), place_y(y)) for x, y in values],
        x_ticks=[Tick(place_x(tick), f"{tick:g}") for tick in x_ticks],
        y_ticks=[Tick(place_y(tick), f"{tick:g}") for tick in y_ticks],
    )


def _scale(value: float, ticks: Sequence[float], start: float, end: float) -> float:
    share = (value - ticks[0]) / (ticks[-1] - ticks[0])
    return round(start + share * (end - start), 1)


def _round_numbers(values: Sequence[float], wanted: int = 4) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten that enclose the values."""
    low, high = min(values), max(values)
    rough = max((high - low) / wanted, 0.05)
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.floor(low / step)
    last = max(math.ceil(high / step), first + 1)
    return [round(index * step, 10) for index in range(first, last + 1)]
