"""Scenes that differ from another in a word or two: what an edit asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tinyworld.scenes import ATTRIBUTES, OF_A_THING, OF_THE_FRAME, Attribute, Scene


def one_word_off(scene: Scene, rng: np.random.Generator) -> Scene:
    """The same but for one word, which is another of its kind."""
    places: list[tuple[int, Attribute]] = [(-1, name) for name in OF_THE_FRAME]
    places += [(k, name) for k in range(len(scene.things)) for name in OF_A_THING]
    index, name = places[rng.integers(len(places))]
    return replaced(scene, index, name, str(rng.choice(others(scene, name))))


def others(scene: Scene, name: Attribute) -> list[str]:
    """An attribute's words that a scene has nowhere."""
    if name in OF_THE_FRAME:
        return [word for word in ATTRIBUTES[name] if word != getattr(scene, name)]
    used = {getattr(thing, name) for thing in scene.things}
    return [word for word in ATTRIBUTES[name] if word not in used]


def replaced(scene: Scene, index: int, name: Attribute, word: str) -> Scene:
    """The scene with another word in one place.

    Args:
        scene: which.
        index: of the thing; any number for the background and the style.
        name: of the attribute.
        word: one of `others`.
    """
    change: dict[str, Any] = {name: word}
    if name in OF_THE_FRAME:
        return replace(scene, **change)
    things = list(scene.things)
    things[index] = replace(things[index], **change)
    return replace(scene, things=tuple(things))


def swapped(scene: Scene, rng: np.random.Generator) -> Scene:
    """Two things with each other's colour; of a lone one, one word off."""
    if len(scene.things) == 1:
        return one_word_off(scene, rng)
    first, second = scene.things
    return replace(
        scene,
        things=(replace(first, color=second.color), replace(second, color=first.color)),
    )
