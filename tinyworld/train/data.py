"""The stills that everything is trained on, drawn once and kept as arrays."""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tinyworld.details import PATTERNS, RIMS, looks, place
from tinyworld.draw import render_at
from tinyworld.scenes import (
    ATTRIBUTES,
    BACKGROUNDS,
    MOST_THINGS,
    MOTIONS,
    SHAPES,
    SIZE,
    STYLES,
    Scene,
    Thing,
    random_scene,
)

_RECIPE = 3
"""Raised whenever equal arguments give other stills."""
_CHUNK = 500
_MOST_HIDDEN = 0.5
"""Of a thing, behind the other: of what cannot be seen nothing can be learnt."""
_COLORS = ATTRIBUTES["color"]
NO_THING = -1
"""In place of a second thing's classes where there is none."""


@dataclass(frozen=True, slots=True)
class Stills:
    """Single frames of random scenes, none of a combination that is held out."""

    pixels: npt.NDArray[np.uint8]
    """(N, 64, 64, 3) RGB; mapped from disk."""
    things: npt.NDArray[np.int64]
    """(N, 2, 5): class numbers of colour, shape, pattern, rim and motion, or `NO_THING`."""
    looks: npt.NDArray[np.float64]
    """(N, 2, 4): shade, size in pixels, x and y of the middle in pixels."""
    frames: npt.NDArray[np.int64]
    """(N, 2): class numbers of background and style."""
    places: npt.NDArray[np.float64]
    """(N, 2): tint and light."""
    near: npt.NDArray[np.uint8]
    """(N, 64, 64): maps of depth (`Clip.near`); mapped from disk."""

    def __len__(self) -> int:
        return len(self.things)

    def scene(self, index: int) -> Scene:
        """A scene with this still's words (its seed is another's)."""
        return worded(self.things[index], self.frames[index])

    def caption(self, index: int) -> str:
        """What a still shows, the thing further left first: an order that a frame decides."""
        scene = self.scene(index)
        x = self.looks[index, : len(scene.things), 2]
        order = np.argsort(x, kind="stable")
        return replace(scene, things=tuple(scene.things[k] for k in order)).caption(motion=False)


def worded(things: npt.NDArray[np.int64], frame: npt.NDArray[np.int64]) -> Scene:
    """The scene of a still's class numbers, (2, 5) and (2,): words alone, of any seed."""
    return Scene(
        things=tuple(
            Thing(color=_COLORS[row[0]], shape=SHAPES[row[1]], motion=MOTIONS[row[4]])
            for row in things.tolist()
            if row[0] != NO_THING
        ),
        background=BACKGROUNDS[frame[0]],
        style=STYLES[frame[1]],
    )


def stills(folder: Path, count: int, seed: int) -> Stills:
    """Draw stills, or map those that were drawn before.

    Args:
        folder: where they are kept.
        count: how many.
        seed: of all draws. Each chunk of 500 has a generator of its own.
    """
    name = folder / f"stills-{_RECIPE}-{seed}-{count}"
    parts = [field.name for field in fields(Stills)]
    if not (name / "done.json").is_file():
        name.mkdir(parents=True, exist_ok=True)
        sizes = [min(_CHUNK, count - first) for first in range(0, count, _CHUNK)]
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            chunks = list(pool.map(_chunk, range(len(sizes)), sizes, [seed] * len(sizes)))
        for part in parts:
            np.save(name / f"{part}.npy", np.concatenate([getattr(c, part) for c in chunks]))
        (name / "done.json").write_text(json.dumps({"count": count}), encoding="utf-8")
    return Stills(*(np.load(name / f"{part}.npy", mmap_mode="r") for part in parts))


def _chunk(index: int, count: int, seed: int) -> Stills:
    rng = np.random.default_rng([seed, index])
    out = Stills(
        pixels=np.empty((count, SIZE, SIZE, 3), dtype=np.uint8),
        things=np.full((count, MOST_THINGS, 5), NO_THING, dtype=np.int64),
        looks=np.zeros((count, MOST_THINGS, 4)),
        frames=np.empty((count, 2), dtype=np.int64),
        places=np.empty((count, 2)),
        near=np.empty((count, SIZE, SIZE), dtype=np.uint8),
    )
    for i in range(count):
        _draw(rng, out, i)
    return out


def _draw(rng: np.random.Generator, out: Stills, i: int) -> None:
    scene = random_scene(rng)
    clip = render_at(scene, np.array([rng.uniform()]))
    while clip.hidden.max() > _MOST_HIDDEN:
        scene = random_scene(rng, things=len(scene.things))
        clip = render_at(scene, np.array([rng.uniform()]))
    out.pixels[i], out.near[i] = clip.frames[0], clip.near[0]
    for k, (thing, look) in enumerate(zip(scene.things, looks(scene), strict=True)):
        out.things[i, k] = (
            _COLORS.index(thing.color),
            SHAPES.index(thing.shape),
            PATTERNS.index(look.pattern),
            RIMS.index(look.rim),
            MOTIONS.index(thing.motion),
        )
        out.looks[i, k] = (look.shade, clip.sizes[0, k], *clip.centers[0, k])
    out.frames[i] = BACKGROUNDS.index(scene.background), STYLES.index(scene.style)
    ground = place(scene)
    out.places[i] = ground.tint, ground.light


def said(scene: Scene, rng: np.random.Generator) -> str:
    """A caption, with the motion or without, naming either of two things first."""
    if rng.uniform() < 0.5:  # noqa: PLR2004 - a coin
        scene = replace(scene, things=scene.things[::-1])
    return scene.caption(motion=bool(rng.uniform() < 0.5))  # noqa: PLR2004
