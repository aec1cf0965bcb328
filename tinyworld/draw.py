"""Draws a scene: frames to look at, and the truth about them that only the painter knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tinyworld.backdrops import Pixels, draw_background
from tinyworld.details import front, looks, place
from tinyworld.paths import camera, tracks
from tinyworld.scenes import FRAMES, SIZE, Scene
from tinyworld.things import draw_thing

_TILE = 4
"""Side of a mosaic's tiles in pixels."""
_STILL = 80
"""Keeps the draw of a still's time apart from those of `tinyworld.details`."""
_HALF = 0.5
"""Of a pixel that a thing must cover to be seen there."""
_NEAREST, _BEHIND = 255, 128
"""Levels of things in a map of depth, where the ground is 0."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A drawn scene of F frames and N things, with the truth about every frame."""

    frames: npt.NDArray[np.uint8]
    """(F, 64, 64, 3) RGB."""
    masks: npt.NDArray[np.bool_]
    """(F, N, 64, 64), where each thing is seen."""
    whole: npt.NDArray[np.bool_]
    """(F, N, 64, 64), where each thing is, seen or behind the other."""
    centers: npt.NDArray[np.float64]
    """(F, N, 2), x and y of each thing's middle in pixels."""
    sizes: npt.NDArray[np.float64]
    """(F, N), half of each thing's width in pixels."""
    camera: npt.NDArray[np.float64]
    """(F, 3), its shift right and down in pixels, and its zoom."""
    front: int
    """Which thing hides the other where they meet."""

    @property
    def hidden(self) -> npt.NDArray[np.float64]:
        """(F, N), the share of each thing that is behind the other, 0 to 1."""
        seen, there = self.masks.sum(axis=(2, 3)), self.whole.sum(axis=(2, 3))
        return np.asarray(1 - seen / np.maximum(there, 1))

    @property
    def near(self) -> npt.NDArray[np.uint8]:
        """(F, 64, 64), a map of depth: 255 is the nearest thing, 128 one behind it, 0 the ground.

        Near is bright, as in `components.controls.depth`; who is in front stays so through a clip.
        """
        levels = np.full(self.masks.shape[1], _BEHIND, dtype=np.uint8)
        levels[self.front] = _NEAREST
        return np.asarray((self.masks * levels[:, None, None]).max(axis=1))


def render(scene: Scene, frames: int = FRAMES) -> Clip:
    """Draw a whole clip of `frames` frames, from the start of the motion to its end."""
    return render_at(scene, np.linspace(0, 1, frames))


def render_at(scene: Scene, times: npt.NDArray[np.float64], *, empty: bool = False) -> Clip:
    """Draw frames at times in 0 to 1.

    Args:
        scene: what to draw.
        times: (F,), when.
        empty: leave the things out; the masks are then empty too.
    """
    centers, seen_by = tracks(scene, times), camera(scene, times)
    each, nearest = looks(scene), front(scene)
    order = [k for k in range(len(each)) if k != nearest] + [nearest]
    shape = (len(times), len(each), SIZE, SIZE)
    masks, whole = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    images = []
    ground = place(scene)
    for f in range(len(times)):
        image = draw_background(scene.background, scene.style, ground, seen_by[f])
        for k in () if empty else order:
            x, y = centers[f, k].tolist()
            zoom = float(seen_by[f, 2])
            rgb, alpha = draw_thing(scene.things[k], each[k], scene.style, x, y, zoom)
            image = image * (1 - alpha[..., None]) + rgb * alpha[..., None]
            whole[f, k] = alpha > _HALF
            masks[f] &= ~whole[f, k]
            masks[f, k] = whole[f, k]
        images.append(np.clip(_styled(image, scene.style) + 0.5, 0, 255).astype(np.uint8))
    sizes = np.array([look.size for look in each]) * seen_by[:, 2:]
    return Clip(np.stack(images), masks, whole, centers, sizes, seen_by, nearest)


def still_time(scene: Scene) -> npt.NDArray[np.float64]:
    """When a scene's still is taken, (1,): its seed decides."""
    return np.random.default_rng([scene.seed, _STILL]).uniform(size=1)


def stills(scenes: Sequence[Scene]) -> npt.NDArray[np.uint8]:
    """One frame of each scene, (N, 64, 64, 3), at its `still_time`."""
    return np.stack([render_at(scene, still_time(scene)).frames[0] for scene in scenes])


def _styled(image: Pixels, style: str) -> Pixels:
    if style != "mosaic":
        return image
    tiles = SIZE // _TILE
    means = image.reshape(tiles, _TILE, tiles, _TILE, 3).mean(axis=(1, 3))
    image = means.repeat(_TILE, axis=0).repeat(_TILE, axis=1)
    image[_TILE - 1 :: _TILE] *= 0.8  # the joints between the tiles
    image[:, _TILE - 1 :: _TILE] *= 0.8
    return image
