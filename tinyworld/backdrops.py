"""Draws the background: its texture where the camera looks, in the style, tint and light."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tinyworld.details import Place
from tinyworld.scenes import SIZE

Pixels = npt.NDArray[np.float64]
"""(64, 64, 3) RGB in 0 to 255."""

_TONES: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    # Dark and bright tone of each background; none is as vivid as a thing.
    "sea": ((20, 92, 140), (90, 172, 206)),
    "grass": ((62, 104, 48), (126, 158, 84)),
    "sand": ((176, 148, 104), (216, 194, 150)),
    "snow": ((196, 210, 224), (246, 250, 252)),
    "road": ((74, 76, 82), (232, 232, 226)),
}
_TINT = np.array([14.0, 2.0, -14.0])
"""What the warmest tint adds to red, green and blue."""
_LIGHT = 0.2
"""How much brighter the side is from which the light comes."""


def draw_background(
    background: str, style: str, place: Place, camera: npt.NDArray[np.float64]
) -> Pixels:
    """Draw what the camera sees.

    Args:
        background: its word.
        style: how to draw it.
        place: how it looks otherwise.
        camera: (3,), the shift right and down in pixels, and the zoom.
    """
    texture = _texture(background, _Ground(place, camera))
    dark, bright = (np.array(tone, dtype=np.float64) for tone in _TONES[background])
    if style == "cartoon":  # two flat tones
        vivid = 1.35 * (dark - dark.mean()) + dark.mean()
        pixels = np.where((texture > 0)[..., None], bright, vivid)
    elif style == "sketch":  # white paper with thin lines in the darker tone
        ink = np.clip(1 - np.abs(texture) / 0.45, 0, 1)[..., None] * 0.75 + 0.06
        pixels = 252 * (1 - ink) + dark * ink
    else:
        mix = np.clip(texture if background == "road" else texture / 2 + 0.5, 0, 1)[..., None]
        pixels = dark * (1 - mix) + bright * mix
    across = np.linspace(-1, 1, SIZE)[None, :, None]
    return (pixels + place.tint * _TINT) * (1 + _LIGHT * place.light * across)


class _Ground:
    """The background's plane, seen through a camera."""

    def __init__(self, place: Place, camera: npt.NDArray[np.float64]) -> None:
        right, down, zoom = camera.tolist()
        y, x = np.mgrid[0:SIZE, 0:SIZE] - (SIZE - 1) / 2
        self.x = (x / zoom + right) / SIZE + place.offset[0]
        self.y = (y / zoom + down) / SIZE + place.offset[1]

    def wave(self, right: float, down: float) -> npt.NDArray[np.float64]:
        """A plane wave, -1 to 1, with so many periods a frame's width to the right and down."""
        out: npt.NDArray[np.float64] = np.sin(2 * math.pi * (right * self.x + down * self.y))
        return out

    def rows(self, wiggle: float, periods: float, lines: float) -> npt.NDArray[np.float64]:
        """Lines across that wiggle, -1 to 1."""
        bend = wiggle * np.sin(2 * math.pi * periods * self.x)
        out: npt.NDArray[np.float64] = np.sin(2 * math.pi * lines * (self.y + bend))
        return out


def _texture(background: str, ground: _Ground) -> npt.NDArray[np.float64]:
    """The background's pattern, (64, 64) in about -1 to 1."""
    if background == "sea":
        return ground.rows(0.04, 2, 4)
    if background == "grass":
        return np.asarray(ground.wave(5, 0) * ground.wave(1, 2))
    if background == "sand":
        return ground.rows(0.1, 1, 3)
    if background == "snow":
        return np.asarray(ground.wave(2, 2) * ground.wave(-2, 2))
    dashes = (ground.wave(3, 0) > 0) & (ground.wave(0, 2) > 0.9)  # noqa: PLR2004 - thin lines
    return np.where(dashes, 1.0, -0.3)
