"""What nets do to stills, measured: whether things are where the map has them, the right one in front.

Captions say neither, so without a net both are chance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tinyworld.draw import render_at, still_time
from tinyworld.matching import PRESENT
from tinyworld.measures import matched_to
from tinyworld.reader import Reading
from tinyworld.scenes import COLORS, Scene

_NEAR = 4.0
"""Pixels of 64 that a thing may be off."""
_LEAST = 20
"""Pixels that two things must share for one to be in front."""

Frames = npt.NDArray[np.uint8]


def placed(reading: Reading, scenes: Sequence[Scene]) -> float:
    """Percent of stills in which every thing is there, within 4 pixels of its place.

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
        Of the stills in whose truth both things are at 20 pixels or more: the share in which most
        of those have a colour nearer to that of the thing in front. None if there are none.
    """
    right = []
    for frame, scene in zip(frames, scenes, strict=True):
        clip = render_at(scene, still_time(scene))
        shared = frame[clip.whole[0].all(axis=0)].astype(np.float64)
        if len(shared) < _LEAST:
            continue
        front, behind = (COLORS[scene.things[k].color] for k in (clip.front, 1 - clip.front))
        nearer = np.linalg.norm(shared - front, axis=1) < np.linalg.norm(shared - behind, axis=1)
        right.append(nearer.mean() > 0.5)  # noqa: PLR2004 - most
    return 100 * float(np.mean(right)) if right else None
