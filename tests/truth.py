"""Readings by an all-knowing reader: what the painter of tinyworld's clips knows of them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyworld.details import PATTERNS, RIMS, looks, place
from tinyworld.draw import still_time
from tinyworld.paths import camera, tracks
from tinyworld.reader import Reading
from tinyworld.scenes import ATTRIBUTES, MOST_THINGS, SIZE, Scene

FRAMES = 8

_OF_NO_THING = {
    "color": ATTRIBUTES["color"][0],
    "shape": ATTRIBUTES["shape"][0],
    "pattern": PATTERNS[0],
    "rim": RIMS[0],
    "shade": 0.0,
    "size": 10.0,
}
"""What an empty slot holds."""


@functools.lru_cache(maxsize=256)
def truth(scene: Scene, frames: int = FRAMES) -> Reading:
    """What a perfect reader would say of a drawn scene: thing k is in slot k, seen or hidden."""
    return _at(scene, np.linspace(0, 1, frames))


def truth_of_stills(scenes: Sequence[Scene]) -> Reading:
    """The same of one still of each scene."""
    return Reading.joined([_at(scene, still_time(scene)) for scene in scenes])


def _at(scene: Scene, times: npt.NDArray[np.float64]) -> Reading:
    frames, count = len(times), len(scene.things)
    each, ground = looks(scene), place(scene)

    def column(name: str) -> npt.NDArray[Any]:
        values = [getattr(one, name) for one in (each if hasattr(each[0], name) else scene.things)]
        values += [_OF_NO_THING[name]] * (MOST_THINGS - count)
        return np.array([values] * frames)

    centers = np.full((frames, MOST_THINGS, 2), SIZE / 2)
    centers[:, :count] = tracks(scene, times)
    return Reading(
        present=np.array([[float(k < count) for k in range(MOST_THINGS)]] * frames),
        size=column("size") * camera(scene, times)[:, 2:],
        centers=centers,
        background=np.array([scene.background] * frames),
        style=np.array([scene.style] * frames),
        tint=np.full(frames, ground.tint),
        light=np.full(frames, ground.light),
        color=column("color"),
        shape=column("shape"),
        pattern=column("pattern"),
        rim=column("rim"),
        shade=column("shade"),
    )


def changed(reading: Reading, name: str, values: dict[int, Any], thing: int = 0) -> Reading:
    """The same reading with other values of one field in some frames.

    Args:
        reading: which.
        name: of the field.
        values: by frame.
        thing: its slot; any number for the background, the style, the tint and the light.
    """
    array = getattr(reading, name)
    array = array.astype("U16") if array.dtype.kind == "U" else array.copy()
    for frame, value in values.items():
        array[(frame, thing) if array.ndim > 1 else frame] = value
    return replace(reading, **{name: array})


def everywhere(value: Any, frames: int = FRAMES) -> dict[int, Any]:
    """A value of every frame."""
    return dict.fromkeys(range(frames), value)


def moved(reading: Reading, centers: npt.NDArray[np.float64], thing: int = 0) -> Reading:
    """The same reading with a thing elsewhere, (F, 2)."""
    return changed(reading, "centers", dict(enumerate(centers)), thing)


def without(reading: Reading, frames: Sequence[int], thing: int = 0) -> Reading:
    """The same reading with a thing missing in some frames."""
    return changed(reading, "present", dict.fromkeys(frames, 0.0), thing)


def crossed(reading: Reading, frames: Sequence[int]) -> Reading:
    """The same reading with the things in each other's slots in some frames."""
    slots = np.tile(np.arange(MOST_THINGS), (len(reading.present), 1))
    slots[list(frames)] = slots[list(frames), ::-1]
    return reading.ordered(slots)


def equal(one: Reading, other: Reading) -> bool:
    """Whether two readings are the same to the bit."""
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in Reading.__slots__
    )
