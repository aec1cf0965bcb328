"""Readings by an all-knowing reader: what the painter of tinyworld's clips knows of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from tinyworld.draw import render
from tinyworld.reader import Reading
from tinyworld.scenes import Attribute, Scene

FRAMES = 8


def truth(scene: Scene, frames: int = FRAMES) -> Reading:
    """What a perfect reader would say of a drawn scene."""
    clip = render(scene, frames)
    return Reading(
        attributes={name: (word,) * frames for name, word in scene.attributes.items()},
        present=np.asarray(clip.masks.any(axis=(1, 2)), np.float64),
        centers=clip.centers,
    )


def reworded(reading: Reading, name: Attribute, words: dict[int, str]) -> Reading:
    """The same reading with other words of one attribute in some frames."""
    changed = [words.get(i, word) for i, word in enumerate(reading.attributes[name])]
    return dataclasses.replace(reading, attributes={**reading.attributes, name: tuple(changed)})


def moved(reading: Reading, centers: npt.NDArray[np.float64]) -> Reading:
    """The same reading with the object elsewhere."""
    return dataclasses.replace(reading, centers=centers)


def without_object(reading: Reading, frames: list[int]) -> Reading:
    """The same reading with no object in some frames."""
    present = reading.present.copy()
    present[frames] = 0.0
    return dataclasses.replace(reading, present=present)
