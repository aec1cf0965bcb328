"""Clips in which one of two things passes before the other, and what is asked of them."""

from __future__ import annotations

import dataclasses

import numpy as np

from tinyworld.draw import render
from tinyworld.edits import others, replaced
from tinyworld.scenes import Attribute, Scene, random_scene

_FRAMES = 8
"""Those of an edit at which clips are looked at."""
_HIDDEN, _TIMES_HIDDEN = 0.5, 2
_SEEN, _TIMES_SEEN = 0.1, 3
"""Of the thing behind: the share hidden, at least or at most, in how many of those frames."""


def hides(scene: Scene) -> bool:
    """Whether one thing hides half of the other for a while, and both are seen for a while."""
    hidden = render(scene, _FRAMES).hidden.max(axis=1)
    met = int((hidden >= _HIDDEN).sum()) >= _TIMES_HIDDEN
    return met and int((hidden <= _SEEN).sum()) >= _TIMES_SEEN


def hiding_clips(count: int, seed: int) -> dict[str, Scene]:
    """Plain scenes of two things by id, one of which hides the other for a while.

    Args:
        count: How many.
        seed: Of every choice.
    """
    rng = np.random.default_rng([seed, 3])
    found: dict[str, Scene] = {}
    while len(found) < count:
        scene = random_scene(rng, held_out=None, things=2)
        scene = dataclasses.replace(scene, style="plain")
        if hides(scene):
            found[f"{len(found):02}"] = scene
    return found


def hiding_edits(scene: Scene, rng: np.random.Generator) -> dict[str, tuple[str, Scene]]:
    """Edits by id, each with its category: of the thing in front, of that behind, and of the rest.

    An object's edit changes colour or shape, as `rng` says.
    """
    front = render(scene, 1).front
    found = {}
    for name, which in (("front", front), ("behind", 1 - front)):
        kind: Attribute = "color" if rng.uniform() < 0.5 else "shape"  # noqa: PLR2004 - a coin
        word = str(rng.choice(others(scene, kind)))
        found[f"{name}-{kind}"] = ("object", replaced(scene, which, kind, word))
    word = str(rng.choice(others(scene, "background")))
    found["background"] = ("background", replaced(scene, -1, "background", word))
    return found
