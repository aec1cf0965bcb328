"""Draws a scene: frames to look at, and the truth about them that only the painter knows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from tinyworld.scenes import COLORS, FRAMES, SIZE, Scene

_FINE = 4
"""Objects are drawn this many times larger and averaged down, so that edges are smooth."""
_TILE = 4
"""Side of a mosaic's tiles in pixels."""

Pixels = npt.NDArray[np.float64]
"""(64, 64, 3) RGB in 0 to 255."""
Color = tuple[int, int, int]
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Clip:
    """A drawn scene, with the truth about every frame."""

    frames: npt.NDArray[np.uint8]
    """(F, 64, 64, 3) RGB."""
    masks: npt.NDArray[np.bool_]
    """(F, 64, 64), where the object is."""
    centers: npt.NDArray[np.float64]
    """(F, 2), x and y of the object's middle in pixels."""


def render(scene: Scene, frames: int = FRAMES) -> Clip:
    """Draw a whole clip of `frames` frames, from the start of the motion to its end."""
    return render_at(scene, np.linspace(0, 1, frames))


def render_at(scene: Scene, times: npt.NDArray[np.float64], *, empty: bool = False) -> Clip:
    """Draw frames at times in 0 to 1.

    Args:
        scene: what to draw.
        times: (F,), when.
        empty: leave the object out; the masks are then empty too.
    """
    centers = scene.track(times)
    background = _STYLED_BACKGROUND[scene.style](scene)
    images, masks = [], []
    for x, y in centers.tolist():
        rgb, alpha = _object(scene, x, y)
        alpha *= not empty
        image = _compose(scene.style, background, rgb, alpha)
        images.append(np.clip(image + 0.5, 0, 255).astype(np.uint8))
        masks.append(alpha > 0.5)  # noqa: PLR2004 - at least half of the pixel
    return Clip(np.stack(images), np.stack(masks), centers)


def stills(scenes: Sequence[Scene]) -> npt.NDArray[np.uint8]:
    """One frame of each scene, (N, 64, 64, 3), at a time that its seed decides."""
    times = [np.random.default_rng(scene.seed).uniform(size=1) for scene in scenes]
    return np.stack(
        [render_at(scene, time).frames[0] for scene, time in zip(scenes, times, strict=True)]
    )


def _compose(style: str, background: Pixels, rgb: Pixels, alpha: npt.NDArray[np.float64]) -> Pixels:
    image = background * (1 - alpha[..., None]) + rgb * alpha[..., None]
    if style == "mosaic":
        tiles = SIZE // _TILE
        means = image.reshape(tiles, _TILE, tiles, _TILE, 3).mean(axis=(1, 3))
        image = means.repeat(_TILE, axis=0).repeat(_TILE, axis=1)
        image[_TILE - 1 :: _TILE] *= 0.8  # the joints between the tiles
        image[:, _TILE - 1 :: _TILE] *= 0.8
    return image


# --- backgrounds -------------------------------------------------------------------------------


def _wave(scene: Scene, right: float, down: float) -> npt.NDArray[np.float64]:
    """A plane wave over the frame, -1 to 1, with so many periods to the right and downwards."""
    shift = scene.phase()
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    out: npt.NDArray[np.float64] = np.sin(
        2 * math.pi * (right * (x + shift[0]) + down * (y + shift[1]))
    )
    return out


def _rows(scene: Scene, wiggle: float, periods: float, lines: float) -> npt.NDArray[np.float64]:
    """Lines across the frame that wiggle, -1 to 1."""
    shift = scene.phase()
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    bend = wiggle * np.sin(2 * math.pi * periods * (x + shift[0]))
    out: npt.NDArray[np.float64] = np.sin(2 * math.pi * lines * (y + shift[1] + bend))
    return out


def _texture(scene: Scene) -> npt.NDArray[np.float64]:
    """The background's pattern, (64, 64) in about -1 to 1."""
    if scene.background == "sea":
        return _rows(scene, 0.04, 2, 4)
    if scene.background == "grass":
        return np.asarray(_wave(scene, 5, 0) * _wave(scene, 1, 2))
    if scene.background == "sand":
        return _rows(scene, 0.1, 1, 3)
    if scene.background == "snow":
        return np.asarray(_wave(scene, 2, 2) * _wave(scene, -2, 2))
    dashes = (_wave(scene, 3, 0) > 0) & (_wave(scene, 0, 2) > 0.9)  # noqa: PLR2004 - thin lines
    return np.where(dashes, 1.0, -0.3)


_TONES: dict[str, tuple[Color, Color]] = {
    # Dark and bright tone of each background; none is as vivid as an object.
    "sea": ((20, 92, 140), (90, 172, 206)),
    "grass": ((62, 104, 48), (126, 158, 84)),
    "sand": ((176, 148, 104), (216, 194, 150)),
    "snow": ((196, 210, 224), (246, 250, 252)),
    "road": ((74, 76, 82), (232, 232, 226)),
}


def _background(scene: Scene) -> Pixels:
    dark, bright = (np.array(tone, dtype=np.float64) for tone in _TONES[scene.background])
    mix = np.clip(_texture(scene) / 2 + 0.5, 0, 1)[..., None]
    if scene.background == "road":
        mix = np.clip(_texture(scene), 0, 1)[..., None]
    return dark * (1 - mix) + bright * mix


def _flat_background(scene: Scene) -> Pixels:
    """Two flat tones: the cartoon's."""
    dark, bright = (np.array(tone, dtype=np.float64) for tone in _TONES[scene.background])
    vivid = 1.35 * (dark - dark.mean()) + dark.mean()
    return np.where((_texture(scene) > 0)[..., None], bright, vivid)


def _paper_background(scene: Scene) -> Pixels:
    """White paper with a few thin lines in the background's darker tone: the sketch's."""
    dark = np.array(_TONES[scene.background][0], dtype=np.float64)
    ink = np.clip(1 - np.abs(_texture(scene)) / 0.45, 0, 1)[..., None] * 0.75 + 0.06
    return 252 * (1 - ink) + dark * ink


_STYLED_BACKGROUND: dict[str, Callable[[Scene], Pixels]] = {
    "plain": _background,
    "cartoon": _flat_background,
    "mosaic": _background,
    "sketch": _paper_background,
}


# --- objects -----------------------------------------------------------------------------------


def _object(scene: Scene, x: float, y: float) -> tuple[Pixels, npt.NDArray[np.float64]]:
    """The object's colours and its coverage (64, 64) in 0 to 1."""
    canvas = Image.new("RGBA", (SIZE * _FINE, SIZE * _FINE))
    pen = _Pen(ImageDraw.Draw(canvas), x, y, scene.scale(), COLORS[scene.color], scene.style)
    _PAINTERS[scene.shape](pen)
    fine = np.asarray(canvas, dtype=np.float64).reshape(SIZE, _FINE, SIZE, _FINE, 4)
    alpha = fine[..., 3] / 255
    coverage = alpha.mean(axis=(1, 3))
    total = (fine[..., :3] * alpha[..., None]).sum(axis=(1, 3))
    rgb = total / np.maximum(alpha.sum(axis=(1, 3)), 1e-6)[..., None]
    return rgb, coverage


@dataclass(frozen=True, slots=True)
class _Pen:
    """Draws polygons and discs around the object's middle, in units of half its width."""

    draw: ImageDraw.ImageDraw
    x: float
    y: float
    scale: float
    color: Color
    style: str

    def polygon(self, points: Points, shade: float = 1.0) -> None:
        """Fill; the shade makes the object's colour darker (below 1) or paler (above)."""
        where = [
            ((self.x + dx * self.scale) * _FINE, (self.y + dy * self.scale) * _FINE)
            for dx, dy in points
        ]
        self.draw.polygon(where, fill=self._fill(shade))
        line, width = self._line()
        self.draw.line([*where, where[0], where[1]], fill=line, width=width, joint="curve")

    def disc(self, dx: float, dy: float, radius: float, shade: float = 1.0) -> None:
        steps = np.linspace(0, 2 * math.pi, 40, endpoint=False)
        self.polygon(
            [(dx + radius * math.cos(a), dy + radius * math.sin(a)) for a in steps.tolist()], shade
        )

    def _fill(self, shade: float) -> Color:
        if self.style == "sketch":  # paper, tinted by the pencil
            return _blend(_blend(self.color, shade), 1.55)
        return _blend(self.color, 1.0 if self.style == "cartoon" and shade < 1 else shade)

    def _line(self) -> tuple[Color, int]:
        if self.style == "cartoon":
            return (14, 12, 16), 2 * _FINE
        if self.style == "sketch":
            return _blend(self.color, 0.85), _FINE + 2
        return _blend(self.color, 0.6), _FINE // 2


def _blend(color: Color, shade: float) -> Color:
    """Towards black below 1, towards white from 1 to 2."""
    mix = [c * shade if shade <= 1 else c + (255 - c) * (shade - 1) for c in color]
    return round(mix[0]), round(mix[1]), round(mix[2])


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
