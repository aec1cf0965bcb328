"""What no caption names: how this very thing and this very background look.

Details differ from clip to clip and stay the same within one, and whatever words an edit changes,
they need not change. They depend on the scene's seed and on nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyworld.scenes import Scene

PATTERNS = ("bare", "stripes", "spots", "hat")
"""What a thing wears: nothing, dark bars, pale dots, a dark cap."""
RIMS = ("thin", "white")
"""A thing's outline: of its own darker colour, or white."""

_SIZES = {1: (11.0, 16.0), 2: (10.0, 13.0)}
"""Half widths in pixels, by the number of things."""
_LOOK, _PLACE, _FRONT = 77, 78, 79
"""Keep these draws apart. Numbers after a seed must not be zero: numpy takes those off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """How one thing looks, besides its words."""

    pattern: str
    rim: str
    phase: float
    """Where the pattern starts, 0 to 1 of its period."""
    shade: float
    """Of its colour, -1 (darkest) to 1 (palest)."""
    size: float
    """Half its width in pixels, before the camera zooms."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """How the background looks, besides its word."""

    offset: tuple[float, float]
    """Where its texture starts, right and down, in frames' widths 0 to 1."""
    tint: float
    """-1 (cold) to 1 (warm)."""
    light: float
    """From where it is lit, -1 (left) to 1 (right)."""


def looks(scene: Scene) -> tuple[Look, ...]:
    """One look for each thing."""
    return tuple(_look(scene, index) for index in range(len(scene.things)))


def _look(scene: Scene, index: int) -> Look:
    rng = np.random.default_rng([scene.seed, _LOOK, 1 + index])
    return Look(
        pattern=str(rng.choice(PATTERNS)),
        rim=str(rng.choice(RIMS)),
        phase=float(rng.uniform()),
        shade=float(rng.uniform(-1, 1)),
        size=float(rng.uniform(*_SIZES[len(scene.things)])),
    )


def place(scene: Scene) -> Place:
    """The background's look."""
    rng = np.random.default_rng([scene.seed, _PLACE])
    right, down, tint, light = rng.uniform(size=4).tolist()
    return Place(offset=(right, down), tint=2 * tint - 1, light=2 * light - 1)


def front(scene: Scene) -> int:
    """Which thing hides the other where they meet."""
    rng = np.random.default_rng([scene.seed, _FRONT])
    return int(rng.integers(len(scene.things)))
