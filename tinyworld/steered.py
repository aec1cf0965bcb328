"""What nets do to stills: whether things are where the map has them, and the right one in front.

Captions say neither, so without a net both are chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyworld.draw import render_at, still_time
from tinyworld.matching import PRESENT
from tinyworld.measures import matched_to
from tinyworld.reader import Reading
from tinyworld.scenes import COLORS, Scene

_NEAR = 5.0
"""Pixels of 64 that a thing may be off."""
_LEAST = 20
"""Pixels that two things must share for one to be in front."""

Frames = npt.NDArray[np.uint8]


def placed(reading: Reading, scenes: Sequence[Scene]) -> float:
    """Percent of stills in which every thing is there, within 5 pixels of its place.

    Args:
        reading: of one still of each scene.
        scenes: of equally many things; stills are of their `still_time`.
    """
    found = matched_to(reading, scenes)
    clips = [render_at(scene, still_time(scene)) for scene in scenes]
    truth = np.concatenate([clip.centers for clip in clips])
    off = np.linalg.norm(found.centers - truth, axis=-1)
    return 100 * float(((off <= _NEAR) & (found.present >= PRESENT)).all(axis=1).mean())


def in_front(frames: Frames, scenes: Sequence[Scene]) -> float | None:
    """Percent of stills in which the right thing hides the other.

    Args:
        frames: (N, 64, 64, 3), a still of each scene.
        scenes: of two things each.

    Returns:
        Of the stills in whose truth both things are at 20 pixels or more: the share in which those
        pixels' hues are, all in all, nearer to the hue of the thing in front. None if there are
        none. (Hues, as patterns, rims and styles make colours darker and paler.)
    """
    right = []
    for frame, scene in zip(frames, scenes, strict=True):
        clip = render_at(scene, still_time(scene))
        shared = frame[clip.whole[0].all(axis=0)]
        if len(shared) < _LEAST:
            continue
        front, behind = (
            _hue(np.array(COLORS[scene.things[k].color])) for k in (clip.front, 1 - clip.front)
        )
        towards = front / np.linalg.norm(front) - behind / np.linalg.norm(behind)
        right.append(float((_hue(shared) @ towards).sum()) > 0)
    return 100 * float(np.mean(right)) if right else None


def _hue(colors: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Colours (..., 3) less their grey: the direction is the hue, the length its strength."""
    return np.asarray(colors - colors.mean(axis=-1, keepdims=True))
