"""How often models are right about stills whose truth is known: for evaluation and tests.

Everything is measured on stills in which at least half of each thing is seen (`visible_scenes`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyworld.details import looks, place
from tinyworld.draw import render_at, still_time, stills
from tinyworld.edits import others, replaced
from tinyworld.matching import PRESENT, matched
from tinyworld.reader import Reader, Reading
from tinyworld.scenes import OF_A_THING, OF_THE_FRAME, Attribute, Scene, random_scene, read_caption

EncodeFrames = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.floating[Any]]]
"""(N, 64, 64, 3) to embeddings (N, D) of length 1."""
EncodeText = Callable[[str], npt.NDArray[np.floating[Any]]]
"""A caption to its embedding (D,) of length 1."""
Frames = npt.NDArray[np.uint8]

_MOST_HIDDEN = 0.5


def visible_scenes(
    count: int, seed: int, *, things: int | None = None, held_out: bool | None = True
) -> list[Scene]:
    """Random scenes, by default of combinations that no training saw, whose stills show it all.

    Args:
        count: how many.
        seed: of every choice.
        things: one or two; none is either.
        held_out: see `random_scene`.
    """
    rng = np.random.default_rng(seed)
    found: list[Scene] = []
    while len(found) < count:
        scene = random_scene(rng, held_out=held_out, things=things)
        if render_at(scene, still_time(scene)).hidden.max() <= _MOST_HIDDEN:
            found.append(scene)
    return found


def retrieval_accuracy(
    encode_frames: EncodeFrames,
    encode_text: EncodeText,
    scenes: Sequence[Scene],
    *,
    among: int = 32,
    seed: int = 0,
) -> float:
    """Percent of stills whose own caption is the likeliest of `among` different ones.

    Args:
        encode_frames: embeds stills.
        encode_text: embeds a caption.
        scenes: what the stills show; the wrong captions are of any scenes.
        among: captions to choose from, without motion words.
        seed: of the choice of the wrong captions.
    """
    rng = np.random.default_rng(seed)

    def captions(scene: Scene) -> list[str]:
        found = {scene.caption(motion=False): None}
        while len(found) < among:
            found[random_scene(rng, held_out=None).caption(motion=False)] = None
        return list(found)

    return _share_right(encode_frames, encode_text, scenes, captions)


def edit_accuracy(
    encode_frames: EncodeFrames, encode_text: EncodeText, scenes: Sequence[Scene]
) -> dict[Attribute, float]:
    """Percent of stills whose own caption beats every one that differs in one attribute's word.

    Of two things, the attribute of either is changed.

    Args:
        encode_frames: embeds stills.
        encode_text: embeds a caption.
        scenes: what the stills show.
    """

    def captions(scene: Scene, name: Attribute) -> list[str]:
        places = range(1 if name in OF_THE_FRAME else len(scene.things))
        edits = [replaced(scene, k, name, w) for k in places for w in others(scene, name)]
        return [one.caption(motion=False) for one in (scene, *edits)]

    return {
        name: _share_right(
            encode_frames, encode_text, scenes, functools.partial(captions, name=name)
        )
        for name in (*OF_A_THING, *OF_THE_FRAME)
    }


def binding_accuracy(
    encode_frames: EncodeFrames, encode_text: EncodeText, scenes: Sequence[Scene]
) -> float:
    """Percent of stills whose caption is the likeliest of 4 that differ in which has which colour.

    Args:
        encode_frames: embeds stills.
        encode_text: embeds a caption.
        scenes: of two things each; the captions give each thing either's colour.
    """

    def captions(scene: Scene) -> list[str]:
        first, second = scene.things
        own = scene.caption()
        colors = (first.color, second.color)
        plain = f"{first.color} {first.shape}", f"{second.color} {second.shape}"
        pairs = [(one, other) for one in colors for other in colors]
        pairs.sort(key=lambda pair: pair != colors)
        return [
            own.replace(plain[0], f"{one} {first.shape}").replace(
                plain[1], f"{other} {second.shape}"
            )
            for one, other in pairs
        ]

    return _share_right(encode_frames, encode_text, scenes, captions)


def _share_right(
    encode_frames: EncodeFrames,
    encode_text: EncodeText,
    scenes: Sequence[Scene],
    captions: Callable[[Scene], list[str]],
) -> float:
    """Percent of stills that are nearer to the first of their captions than to all others."""
    images_ND = encode_frames(stills(scenes))
    encode = functools.cache(encode_text)
    hits = 0
    for image_D, scene in zip(images_ND, scenes, strict=True):
        own, *wrong = (float(encode(text) @ image_D) for text in captions(scene))
        hits += own > max(wrong)
    return 100 * hits / len(scenes)


def caption_accuracy(
    caption: Callable[[Sequence[Frames]], list[str]], scenes: Sequence[Scene]
) -> dict[str, float]:
    """Percent of stills whose caption names what they show, by what it names.

    Args:
        caption: stills (64, 64, 3) uint8 to their captions.
        scenes: what the stills show.

    Returns:
        ``things``: all of them, each with its colour and shape, and no other; ``background``,
        ``style``, ``all words``.
    """
    read = [read_caption(text) for text in caption(list(stills(scenes)))]
    pairs = list(zip(read, (scene.words for scene in scenes), strict=True))
    right = {
        "things": [set(r.things) == set(w.things) for r, w in pairs],
        "background": [r.background == w.background for r, w in pairs],
        "style": [r.style == w.style for r, w in pairs],
    }
    right["all words"] = np.all(list(right.values()), axis=0).tolist()
    return {name: 100 * float(np.mean(hits)) for name, hits in right.items()}


def words_right(reading: Reading, scenes: Sequence[Scene]) -> dict[str, float]:
    """Percent of stills in which a reader sees what their scenes' words say.

    Args:
        reading: of one still of each scene.
        scenes: of equally many things.

    Returns:
        By attribute (of two things, both must be right), and ``things``: all there, each with its
        colour and shape, and none besides.
    """
    count = len(scenes[0].things)
    found = matched_to(reading, scenes)
    there = (found.present >= PRESENT).all(axis=1)
    right: dict[str, npt.NDArray[np.bool_]] = {}
    for name in OF_A_THING:
        words = np.array([[getattr(thing, name) for thing in s.things] for s in scenes])
        right[name] = (getattr(found, name) == words).all(axis=1)
    for name in OF_THE_FRAME:
        right[name] = getattr(found, name) == np.array([getattr(s, name) for s in scenes])
    exactly = (reading.present >= PRESENT).sum(axis=1) == count
    right["things"] = exactly & there & right["color"] & right["shape"]
    return {name: 100 * float(hits.mean()) for name, hits in right.items()}


def details_read(reader: Reader, scenes: Sequence[Scene]) -> dict[str, float]:
    """How well details are read from clean stills.

    Args:
        reader: whom to measure.
        scenes: of equally many things.

    Returns:
        ``pattern`` and ``rim`` in percent right of the things; mean errors of ``shade``, ``size``
        (as part of the true one), ``tint`` and ``light``; ``center``, pixels off; and ``absent``,
        the percent of stills without things in which none is seen.
    """
    clips = [render_at(scene, still_time(scene)) for scene in scenes]
    empty = [render_at(scene, still_time(scene), empty=True).frames for scene in scenes]
    found = matched_to(reader.read(np.concatenate([clip.frames for clip in clips])), scenes)
    each = [looks(scene) for scene in scenes]
    sizes = np.concatenate([clip.sizes for clip in clips])
    centers = np.concatenate([clip.centers for clip in clips])
    places = [place(scene) for scene in scenes]

    def off(name: str) -> npt.NDArray[np.float64]:
        truth = np.array([[getattr(look, name) for look in one] for one in each])
        return np.asarray(np.abs(getattr(found, name) - truth))

    def right(name: str) -> float:
        truth = np.array([[getattr(look, name) for look in one] for one in each])
        return 100 * float((getattr(found, name) == truth).mean())

    seen = reader.read(np.concatenate(empty)).present >= PRESENT
    return {
        "pattern": right("pattern"),
        "rim": right("rim"),
        "shade": float(off("shade").mean()),
        "size": float((np.abs(found.size - sizes) / sizes).mean()),
        "tint": float(np.abs(found.tint - [ground.tint for ground in places]).mean()),
        "light": float(np.abs(found.light - [ground.light for ground in places]).mean()),
        "center": float(np.linalg.norm(found.centers - centers, axis=-1).mean()),
        "absent": 100 * float((~seen.any(axis=1)).mean()),
    }


def matched_to(reading: Reading, scenes: Sequence[Scene]) -> Reading:
    """A reading of one still of each scene with its things in the scenes' order."""
    count = len(scenes[0].things)
    parts = []
    for k in range(len(scenes)):
        one = reading.at(slice(k, k + 1))
        parts.append(matched(one, scenes[k].words.things))
    if any(len(scene.things) != count for scene in scenes):
        raise ValueError("scenes of one thing and of two are measured apart")
    return Reading.joined(parts)
