"""Draws one thing: its shape in its colour, with the pattern and the rim that no word names."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from tinyworld.details import Look
from tinyworld.scenes import COLORS, SIZE, Thing

_FINE = 4
"""Things are drawn this many times larger and averaged down, so that edges are smooth."""

Color = tuple[int, int, int]
Points = Sequence[tuple[float, float]]

_BLACK, _WHITE, _CAP = (14, 12, 16), (252, 252, 250), (44, 40, 48)
_DARK, _PALE = 0.42, 1.7
"""Shades of stripes and of spots."""
_STRIPE, _SPOT = 0.8, 0.72
"""Periods of stripes and of spots, in half widths."""


def draw_thing(
    thing: Thing, look: Look, style: str, x: float, y: float, zoom: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """A thing with its middle at x, y: its colours (64, 64, 3) in 0 to 255, and its coverage.

    The coverage is (64, 64) in 0 to 1.
    """
    canvas = Image.new("RGBA", (SIZE * _FINE, SIZE * _FINE))
    color = _blend(COLORS[thing.color], 1 + (0.28 if look.shade < 0 else 0.24) * look.shade)
    pen = _Pen(ImageDraw.Draw(canvas), x, y, look.size * zoom, color, style, look.rim)
    _PAINTERS[thing.shape](pen)
    if look.pattern in _PATTERNS:
        _wear(canvas, pen, look)
    if look.pattern == "hat":
        _hat(pen, _TOPS[thing.shape], 0.3 * (look.phase - 0.5))
    fine = np.asarray(canvas, dtype=np.float64).reshape(SIZE, _FINE, SIZE, _FINE, 4)
    alpha = fine[..., 3] / 255
    coverage = alpha.mean(axis=(1, 3))
    total = (fine[..., :3] * alpha[..., None]).sum(axis=(1, 3))
    rgb = total / np.maximum(alpha.sum(axis=(1, 3)), 1e-6)[..., None]
    return rgb, coverage


@dataclass(frozen=True, slots=True)
class _Pen:
    """Draws polygons and discs around the thing's middle, in units of half its width."""

    draw: ImageDraw.ImageDraw
    x: float
    y: float
    scale: float
    color: Color
    style: str
    rim: str

    def polygon(self, points: Points, shade: float = 1.0) -> None:
        """Fill; the shade makes the thing's colour darker (below 1) or paler (above)."""
        where = self.at(points)
        self.draw.polygon(where, fill=self.fill(shade))
        line, width = self._line()
        self.draw.line([*where, where[0], where[1]], fill=line, width=width, joint="curve")

    def disc(self, dx: float, dy: float, radius: float, shade: float = 1.0) -> None:
        self.polygon(_ellipse(radius, radius, dx, dy), shade)

    def at(self, points: Points) -> list[tuple[float, float]]:
        """Where points are on the fine canvas."""
        return [
            ((self.x + 0.5 + dx * self.scale) * _FINE, (self.y + 0.5 + dy * self.scale) * _FINE)
            for dx, dy in points
        ]

    def fill(self, shade: float) -> Color:
        if self.style == "sketch":  # paper, tinted by the pencil
            return _blend(_blend(self.color, shade), 1.4 if shade >= 1 else 1.2)
        return _blend(self.color, 1.0 if self.style == "cartoon" and _DARK < shade < 1 else shade)

    def _line(self) -> tuple[Color, int]:
        if self.style == "sketch":
            return _blend(self.color, 1.4 if self.rim == "white" else 0.75), _FINE + 2
        bold = self.style == "cartoon"
        if self.rim == "white":
            return _WHITE, (2 if bold else 1) * _FINE + 1
        if bold:
            return _BLACK, 2 * _FINE
        return _blend(self.color, 0.6), _FINE // 2


def _blend(color: Color, shade: float) -> Color:
    """Towards black below 1, towards white from 1 to 2."""
    mix = [c * shade if shade <= 1 else c + (255 - c) * (shade - 1) for c in color]
    return round(mix[0]), round(mix[1]), round(mix[2])


# --- patterns ----------------------------------------------------------------------------------


def _wear(canvas: Image.Image, pen: _Pen, look: Look) -> None:
    """Draw a pattern over the thing and nowhere else."""
    cloth = Image.new("RGBA", canvas.size)
    _PATTERNS[look.pattern](ImageDraw.Draw(cloth), pen, look.phase)
    over = Image.fromarray(np.minimum(*(np.asarray(i.getchannel("A")) for i in (canvas, cloth))))
    canvas.paste(cloth, (0, 0), over)


def _stripes(draw: ImageDraw.ImageDraw, pen: _Pen, phase: float) -> None:
    for k in range(-2, 3):
        left = (k + phase) * _STRIPE
        box = pen.at([(left, -1.2), (left + _STRIPE / 2.4, 1.2)])
        draw.rectangle([*box[0], *box[1]], fill=pen.fill(_DARK))


def _spots(draw: ImageDraw.ImageDraw, pen: _Pen, phase: float) -> None:
    for row in range(-2, 3):
        for column in range(-2, 3):
            dx = (column + phase + 0.5 * (row % 2)) * _SPOT
            box = pen.at([(dx - 0.2, row * 0.46 - 0.2), (dx + 0.2, row * 0.46 + 0.2)])
            draw.ellipse([*box[0], *box[1]], fill=pen.fill(_PALE))


_PATTERNS: dict[str, Callable[[ImageDraw.ImageDraw, _Pen, float], None]] = {
    "stripes": _stripes,
    "spots": _spots,
}
_TOPS = {"fish": -0.42, "car": -0.56, "star": -0.85, "house": -0.75, "ball": -0.72, "boat": -0.75}
"""How far above its middle a thing wears a hat."""


def _hat(pen: _Pen, top: float, aside: float) -> None:
    brim = [(aside - 0.5, top), (aside + 0.5, top), (aside + 0.5, top - 0.13)]
    crown = [(aside + 0.28, top - 0.13), (aside + 0.24, top - 0.5), (aside - 0.24, top - 0.5)]
    outline = [*brim, *crown, (aside - 0.28, top - 0.13), (aside - 0.5, top - 0.13)]
    pen.draw.polygon(pen.at(outline), fill=_blend(_CAP, 1.3) if pen.style == "sketch" else _CAP)


# --- shapes ------------------------------------------------------------------------------------


def _ellipse(rx: float, ry: float, dx: float = 0.0, dy: float = 0.0) -> Points:
    steps = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    return [(dx + rx * math.cos(a), dy + ry * math.sin(a)) for a in steps.tolist()]


def _fish(pen: _Pen) -> None:
    pen.polygon([(-0.45, 0), (-1.0, -0.5), (-0.85, 0), (-1.0, 0.5)], 0.8)
    pen.polygon(_ellipse(0.72, 0.5, 0.25))
    pen.disc(0.62, -0.12, 0.12, 2.0)


def _car(pen: _Pen) -> None:
    pen.polygon([(-0.55, -0.1), (-0.35, -0.6), (0.35, -0.6), (0.6, -0.1)], 1.6)
    pen.polygon([(-1, -0.12), (1, -0.12), (1, 0.35), (-1, 0.35)])
    for wheel in (-0.55, 0.55):
        pen.disc(wheel, 0.38, 0.26, 0.3)


def _star(pen: _Pen) -> None:
    tips = [
        (radius * math.sin(angle), -radius * math.cos(angle))
        for k in range(10)
        for radius, angle in [((1.05, 0.42)[k % 2], k * math.pi / 5)]
    ]
    pen.polygon(tips)


def _house(pen: _Pen) -> None:
    pen.polygon([(-0.7, -0.1), (0.7, -0.1), (0.7, 0.85), (-0.7, 0.85)])
    pen.polygon([(-0.95, -0.1), (0, -0.95), (0.95, -0.1)], 0.7)
    pen.polygon([(-0.18, 0.3), (0.18, 0.3), (0.18, 0.85), (-0.18, 0.85)], 1.7)


def _ball(pen: _Pen) -> None:
    pen.disc(0, 0, 0.8)
    pen.disc(-0.28, -0.3, 0.18, 1.7)


def _boat(pen: _Pen) -> None:
    pen.polygon([(0.05, -0.95), (0.05, 0.2), (0.75, 0.2)], 1.55)
    pen.polygon([(-0.08, -0.7), (-0.08, 0.2), (-0.6, 0.2)], 1.55)
    pen.polygon([(-1, 0.28), (1, 0.28), (0.6, 0.8), (-0.6, 0.8)])


_PAINTERS: dict[str, Callable[[_Pen], None]] = {
    "fish": _fish,
    "car": _car,
    "star": _star,
    "house": _house,
    "ball": _ball,
    "boat": _boat,
}
