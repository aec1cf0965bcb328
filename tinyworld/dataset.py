"""Clips by chance and what is asked of each: the same bytes for the same number and seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tinyworld.edits import others, replaced
from tinyworld.encode import write_clip, write_depth, write_masks
from tinyworld.hiding import hiding_clips, hiding_edits
from tinyworld.scenes import CAMERAS, FRAMES, MOST_THINGS, MOTIONS, Attribute, Scene, random_scene

KINDS = 3
"""Of edits, the paper's: the object, the background, the style."""
_MOVING = tuple(camera for camera in CAMERAS if camera != "still")


def random_clips(count: int, seed: int) -> dict[str, Scene]:
    """Plain scenes by id: of one thing and two, motions and cameras in turn, half of these moving.

    Args:
        count: How many.
        seed: Of every choice.
    """
    rng = np.random.default_rng(seed)
    found = {}
    for number in range(count):
        things, pair = 1 + number % MOST_THINGS, number // MOST_THINGS
        scene = random_scene(rng, held_out=None, things=things)
        first, *others = scene.things
        # A step more after all motions, so that each meets still cameras and moving ones.
        turn = pair + pair // len(MOTIONS)
        found[f"{number:02}"] = dataclasses.replace(
            scene,
            things=(dataclasses.replace(first, motion=MOTIONS[pair % len(MOTIONS)]), *others),
            style="plain",
            camera=_MOVING[turn // 2 % len(_MOVING)] if turn % 2 else "still",
        )
    return found


def random_edits(scene: Scene, rng: np.random.Generator) -> dict[str, Scene]:
    """One edit of each of the paper's kinds, by category: the edited scene.

    The object's edit changes the colour or the shape of one thing, as `rng` says.
    """
    of_object: Attribute = "color" if rng.uniform() < 0.5 else "shape"  # noqa: PLR2004 - a coin
    which = int(rng.integers(len(scene.things)))
    kinds: tuple[tuple[str, Attribute], ...] = (
        ("object", of_object),
        ("background", "background"),
        ("style", "style"),
    )
    return {
        category: replaced(scene, which, name, str(rng.choice(others(scene, name))))
        for category, name in kinds
    }


def more_edits(clips: Mapping[str, Scene], count: int, seed: int) -> dict[str, tuple[str, Scene]]:
    """One edit more of each of the first clips, their kinds in turn, none of which it has already.

    Args:
        clips: By id, in order.
        count: How many of them.
        seed: Of the clips and of their edits, those of ``random_edits`` included.

    Returns:
        By clip: the kind and the edited scene.
    """
    rng, more = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2])
    found = {}
    for number, (name, scene) in enumerate(clips.items()):
        former = random_edits(scene, rng)
        kind = tuple(former)[number % len(former)]
        if number < count:
            edited = former[kind]
            while edited == former[kind]:
                edited = random_edits(scene, more)[kind]
            found[name] = (kind, edited)
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """Which clips to write, and what to ask of them."""

    count: int
    """Of clips."""
    seed: int
    """Of every choice."""
    edits: int | None = None
    """In all, ``3 * count`` to ``4 * count``: the first clips get one more. None is three of
    each."""
    hiding: bool = False
    """Clips in which one thing hides another (`tinyworld.hiding`), with edits of either and of the
    background."""
    objects: bool = False
    """Ask for edits of objects alone."""
    maps: bool = False
    """Write maps of depth, too."""
    frames: int = FRAMES
    """Of a clip."""


Edits = dict[str, tuple[str, Scene]]
"""By id: the category and the edited scene."""


def write_dataset(folder: Path, wanted: Dataset) -> Path:
    """Write clips as mp4, masks of where objects are or will be, and the manifest with the edits.

    Args:
        folder: Made if absent.
        wanted: Which clips, and which edits.

    Returns:
        The manifest's path.
    """
    clips = (hiding_clips if wanted.hiding else random_clips)(wanted.count, wanted.seed)
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    edits = chosen(clips, wanted)
    for name, scene in clips.items():
        write_clip(scene, folder / "clips" / f"{name}.mp4", wanted.frames)
        objects = [edited for category, edited in edits[name].values() if category == "object"]
        write_masks(scene, folder / "masks" / name, wanted.frames, edited=objects)
        if wanted.maps:
            write_depth(scene, folder / "depth" / name, wanted.frames)
    videos = asked(clips, edits, wanted)
    manifest = folder / "manifest.yaml"
    manifest.write_text(yaml.safe_dump({"videos": videos}, sort_keys=False), encoding="utf-8")
    return manifest


def asked(
    clips: Mapping[str, Scene], edits: Mapping[str, Edits], wanted: Dataset
) -> list[dict[str, Any]]:
    """A manifest's videos, with addresses relative to the folder that the clips are in.

    Args:
        clips: By id, in order.
        edits: Of each, see `chosen`.
        wanted: What else to ask of them.
    """
    return [_video(name, scene, edits[name], wanted) for name, scene in clips.items()]


def chosen(clips: Mapping[str, Scene], wanted: Dataset) -> dict[str, Edits]:
    """The edits of each clip.

    Args:
        clips: By id, in order.
        wanted: Which edits.
    """
    rng = np.random.default_rng([wanted.seed, 1])
    found: dict[str, Edits] = {}
    for name, scene in clips.items():
        if wanted.hiding:
            found[name] = hiding_edits(scene, rng)
        else:
            found[name] = {kind: (kind, new) for kind, new in random_edits(scene, rng).items()}
    if wanted.edits is not None:
        count = wanted.edits - KINDS * len(clips)
        for name, (kind, edited) in more_edits(clips, count, wanted.seed).items():
            found[name][f"{kind}-2"] = (kind, edited)
    if wanted.objects:
        found = {
            name: {one: edit for one, edit in edits.items() if edit[0] == "object"}
            for name, edits in found.items()
        }
    return found


def _video(name: str, scene: Scene, edits: Edits, wanted: Dataset) -> dict[str, Any]:
    return {
        "id": name,
        "uri": f"clips/{name}.mp4",
        "mask": f"masks/{name}",
        **({"maps": f"depth/{name}"} if wanted.maps else {}),
        "prompt": scene.caption(),
        "edits": [
            {"id": one, "category": category, "prompt": edited.caption()}
            for one, (category, edited) in edits.items()
        ],
    }
