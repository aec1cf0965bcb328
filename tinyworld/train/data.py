"""The stills that everything is trained on, drawn once and kept as arrays."""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tinyworld.draw import render_at
from tinyworld.scenes import ATTRIBUTES, SIZE, Scene, random_scene

_RECIPE = 1
"""Raised whenever equal arguments give other stills."""
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Stills:
    """Single frames of random scenes, none of a combination that is held out."""

    pixels: npt.NDArray[np.uint8]
    """(N, 64, 64, 3) RGB; mapped from disk."""
    classes: npt.NDArray[np.int64]
    """(N, 4), class numbers in the order of `ATTRIBUTES`."""
    centers: npt.NDArray[np.float64]
    """(N, 2), x and y of the object's middle in pixels."""
    motions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.classes)

    def scene(self, index: int) -> Scene:
        """A scene with this still's words (its seed is another's)."""
        words = {
            name: values[self.classes[index, k]]
            for k, (name, values) in enumerate(ATTRIBUTES.items())
        }
        return Scene(**words, motion=self.motions[index])


def stills(folder: Path, count: int, seed: int) -> Stills:
    """Draw stills, or map those that were drawn before.

    Args:
        folder: where they are kept.
        count: how many.
        seed: of all draws. Each chunk of 500 has a generator of its own.
    """
    name = folder / f"stills-{_RECIPE}-{seed}-{count}"
    if not (name / "done.json").is_file():
        name.mkdir(parents=True, exist_ok=True)
        sizes = [min(_CHUNK, count - first) for first in range(0, count, _CHUNK)]
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            chunks = list(pool.map(_chunk, range(len(sizes)), sizes, [seed] * len(sizes)))
        for k, part in enumerate(("pixels", "classes", "centers")):
            np.save(name / f"{part}.npy", np.concatenate([chunk[k] for chunk in chunks]))
        motions = [motion for chunk in chunks for motion in chunk[3]]
        (name / "done.json").write_text(json.dumps(motions), encoding="utf-8")
    return Stills(
        np.load(name / "pixels.npy", mmap_mode="r"),
        np.load(name / "classes.npy"),
        np.load(name / "centers.npy"),
        tuple(json.loads((name / "done.json").read_text(encoding="utf-8"))),
    )


def _chunk(
    index: int, count: int, seed: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.float64], list[str]]:
    rng = np.random.default_rng([seed, index])
    pixels = np.empty((count, SIZE, SIZE, 3), dtype=np.uint8)
    classes = np.empty((count, len(ATTRIBUTES)), dtype=np.int64)
    centers = np.empty((count, 2))
    motions = []
    for i in range(count):
        scene = random_scene(rng)
        clip = render_at(scene, np.array([rng.uniform()]))
        pixels[i], centers[i] = clip.frames[0], clip.centers[0]
        classes[i] = [words.index(getattr(scene, name)) for name, words in ATTRIBUTES.items()]
        motions.append(scene.motion)
    return pixels, classes, centers, motions
