"""Clips by chance and what is asked of each: the same bytes for the same number and seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tinyworld.edits import others, replaced
from tinyworld.encode import write_clip, write_masks
from tinyworld.scenes import CAMERAS, MOST_THINGS, MOTIONS, Attribute, Scene, random_scene

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


def asked(clips: Mapping[str, Scene], seed: int, edits: int | None = None) -> list[dict[str, Any]]:
    """A manifest's videos: three edits of each clip, relative to the folder that the clips are in.

    Args:
        clips: By id, in order.
        seed: Of every choice.
        edits: In all, 3 to 4 for each clip: the first clips get one more. None is three of each.
    """
    rng = np.random.default_rng([seed, 1])
    videos = [_video(name, scene, random_edits(scene, rng)) for name, scene in clips.items()]
    more = more_edits(clips, 0 if edits is None else edits - KINDS * len(clips), seed)
    for video in videos:
        if video["id"] in more:
            kind, edited = more[video["id"]]
            video["edits"].append({"id": f"{kind}-2", "category": kind, "prompt": edited.caption()})
    return videos


def write_dataset(folder: Path, count: int, seed: int, edits: int | None = None) -> Path:
    """Write clips as mp4, their objects' masks, and the manifest: three edits of each.

    Args:
        folder: Made if absent.
        count: How many clips.
        seed: Of every choice.
        edits: As in ``asked``.

    Returns:
        The manifest's path.
    """
    clips = random_clips(count, seed)
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    for name, scene in clips.items():
        write_clip(scene, folder / "clips" / f"{name}.mp4")
        write_masks(scene, folder / "masks" / name)
    manifest = folder / "manifest.yaml"
    videos = asked(clips, seed, edits)
    manifest.write_text(yaml.safe_dump({"videos": videos}, sort_keys=False), encoding="utf-8")
    return manifest


def _video(name: str, scene: Scene, edits: Mapping[str, Scene]) -> dict[str, Any]:
    return {
        "id": name,
        "uri": f"clips/{name}.mp4",
        "mask": f"masks/{name}",
        "prompt": scene.caption(),
        "edits": [
            {"id": category, "category": category, "prompt": edited.caption()}
            for category, edited in edits.items()
        ],
    }
