"""How things and the camera move: by the clip's time, 0 at its start to 1 at its end."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tinyworld.details import looks
from tinyworld.scenes import MOTIONS, SIZE, Scene

Times = npt.NDArray[np.float64]
"""(T,) in 0 to 1."""
Track = npt.NDArray[np.float64]
"""(T, 2), x and y in pixels."""

_PAN = 0.3
"""Of the frame's width that a camera pans over."""
_ZOOM = 1.35
"""How much nearer a camera zooms."""


def camera(scene: Scene, times: Times) -> npt.NDArray[np.float64]:
    """Where the camera is: (T, 3), its shift right and down in pixels, and its zoom, 1 or more."""
    still = np.zeros_like(times)
    shift = _PAN * SIZE * (times - 0.5)
    nearer = 1 + (_ZOOM - 1) * times
    moves = {
        "still": (still, still, still + 1),
        "panning right": (shift, still, still + 1),
        "panning left": (-shift, still, still + 1),
        "zooming in": (still, still, nearer),
        "zooming out": (still, still, _ZOOM + 1 - nearer),
    }
    return np.stack(moves[scene.camera], axis=-1)


def tracks(scene: Scene, times: Times) -> npt.NDArray[np.float64]:
    """Middles of the things as the frame shows them: (T, N, 2), x and y in pixels.

    A thing moves within the frame whatever a panning camera does (the camera goes with it, and the
    background passes by); where a camera zooms, it drifts with the zoom, never out of the frame.
    """
    zoom_T1 = camera(scene, times)[:, 2:]
    middle = (SIZE - 1) / 2
    found = []
    for index in range(len(scene.things)):
        path = _path(scene, index, times)
        found.append(middle + (path - middle) * zoom_T1)
    return np.stack(found, axis=1)


def _path(scene: Scene, index: int, times: Times) -> Track:
    motion = scene.things[index].motion
    rng = np.random.default_rng([scene.seed, 1 + index, 1 + MOTIONS.index(motion)])
    size = looks(scene)[index].size
    nearest = _ZOOM if scene.camera.startswith("zooming") else 1.0
    middle = (SIZE - 1) / 2
    reach = middle / nearest - size - 1  # so that it stays in the frame when the camera is nearest
    low, high = middle - reach, middle + reach
    span = high - low
    start, end = low + span * rng.uniform(0, 0.12), high - span * rng.uniform(0, 0.12)
    level = low + span * rng.uniform(0.2, 0.8)
    going = start + (end - start) * times
    still = np.full_like(times, level)
    hops = np.abs(np.sin(2 * np.pi * times + np.pi * rng.uniform()))
    turn = 2 * np.pi * (times + rng.uniform())
    centre, radius = (start + end) / 2, (end - start) / 2.2
    paths = {
        "moving right": (going, still),
        "moving left": (start + end - going, still),
        "rising": (still, start + end - going),
        "sinking": (still, going),
        "bouncing": (going, high - (high - low) * 0.75 * hops),
        "circling": (centre + radius * np.cos(turn), centre + radius * np.sin(turn)),
    }
    return np.stack(paths[motion], axis=-1)
