"""What a clip shows, and the sentences that say so.

A scene is one or two coloured things that move over a background, drawn in a style. Words name each
thing's colour and shape, the background and the style, and how a lone thing moves. What no word
names, such as a thing's pattern and who is in front, is in `details` and decided by the seed. The
grammar is small on purpose: the models that are trained on it can be checked word by word.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

SIZE = 64
"""Width and height of every frame, in pixels."""
FRAMES = 24
"""Frames of a whole clip, unless more are asked for (`MOST_FRAMES`)."""
MOST_FRAMES = 128
"""Four of the paper's clips one after the other, which windows divide."""

COLORS = MappingProxyType(
    {
        "red": (214, 36, 40),
        "orange": (246, 136, 24),
        "yellow": (250, 224, 48),
        "green": (40, 176, 64),
        "blue": (36, 84, 226),
        "purple": (136, 50, 188),
        "pink": (248, 130, 194),
    }
)
"""Every colour a thing may have, as RGB in 0 to 255."""
SHAPES = ("fish", "car", "star", "house", "ball", "boat")
BACKGROUNDS = ("sea", "grass", "sand", "snow", "road")
STYLES = ("plain", "cartoon", "mosaic", "sketch")
"""``plain`` goes without saying: it is the style of a caption that names none."""
MOTIONS = ("moving right", "moving left", "rising", "sinking", "bouncing", "circling")
CAMERAS = ("still", "panning right", "panning left", "zooming in", "zooming out")
"""What the camera does; no caption says it."""
MOST_THINGS = 2

Attribute = Literal["color", "shape", "background", "style"]
ATTRIBUTES: MappingProxyType[Attribute, tuple[str, ...]] = MappingProxyType(
    {"color": tuple(COLORS), "shape": SHAPES, "background": BACKGROUNDS, "style": STYLES}
)
"""The words for each attribute of a frame, in the order of every model's class numbers."""
OF_A_THING: tuple[Attribute, ...] = ("color", "shape")
OF_THE_FRAME: tuple[Attribute, ...] = ("background", "style")

WORDS = tuple(
    dict.fromkeys(
        f"a an is and over the style {' '.join(w for words in ATTRIBUTES.values() for w in words)} "
        f"{' '.join(MOTIONS)}".split()
    )
)
"""Every word that a caption may hold."""

_HELD_OUT = 0.1
_ARTICLES = ("a", "an")


def _check(name: str, value: str, words: tuple[str, ...]) -> None:
    if value not in words:
        raise ValueError(f"{name}={value!r} is not in the world: it has {', '.join(words)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """What moves through a scene.

    Raises:
        ValueError: a word is not of this world; the message lists those that are.
    """

    color: str
    shape: str
    motion: str = "moving right"

    def __post_init__(self) -> None:
        """Check the words."""
        _check("color", self.color, ATTRIBUTES["color"])
        _check("shape", self.shape, SHAPES)
        _check("motion", self.motion, MOTIONS)

    @property
    def name(self) -> str:
        """``a red fish``."""
        article = _ARTICLES[self.color[0] in "aeiou"]
        return f"{article} {self.color} {self.shape}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One clip. Equal scenes are equal to the pixel.

    Raises:
        ValueError: a word is not of this world, there are no things or too many, or two are of one
            colour or shape, which a caption could not tell apart.
    """

    things: tuple[Thing, ...]
    """One or two, in the order in which the caption names them."""
    background: str
    style: str = "plain"
    camera: str = "still"
    seed: int = 0
    """Decides what no word says: see `tinyworld.details` and `tinyworld.paths`."""

    def __post_init__(self) -> None:
        """Check the words."""
        _check("background", self.background, BACKGROUNDS)
        _check("style", self.style, STYLES)
        _check("camera", self.camera, CAMERAS)
        if not 1 <= len(self.things) <= MOST_THINGS:
            raise ValueError(f"a scene has 1 or {MOST_THINGS} things, but {len(self.things)} given")
        for name in OF_A_THING:
            values = [getattr(thing, name) for thing in self.things]
            if len(set(values)) < len(values):
                raise ValueError(
                    f"two things of one {name} ({values[0]}): a caption could not tell them apart"
                )

    @property
    def words(self) -> Words:
        """What each frame shows and a caption without motion says."""
        things = tuple((thing.color, thing.shape) for thing in self.things)
        return Words(things=things, background=self.background, style=self.style)

    @property
    def held_out(self) -> bool:
        """Whether a combination of colour, shape, background and style is kept from training.

        About one in ten is, chosen by hash, so that every word is seen in many other combinations;
        a scene of two things is held out if either is.
        """
        return any(
            _is_held_out(thing.color, thing.shape, self.background, self.style)
            for thing in self.things
        )

    def caption(self, *, motion: bool = True) -> str:
        """Say what the clip shows.

        Such as ``a red fish is rising over the sea, cartoon style``, or ``a red fish and a blue
        star over the sea``.

        Args:
            motion: whether to say how a lone thing moves, which a single frame cannot show. Of two
                things none is said to move.
        """
        subject = " and ".join(thing.name for thing in self.things)
        moves = f" is {self.things[0].motion}" if motion and len(self.things) == 1 else ""
        style = "" if self.style == "plain" else f", {self.style} style"
        return f"{subject}{moves} over the {self.background}{style}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """What a caption or prompt says of this world."""

    things: tuple[tuple[str | None, str | None], ...] = ()
    """Colour and shape of each thing in the order of the text; none of what it does not say."""
    background: str | None = None
    style: str = "plain"

    def __bool__(self) -> bool:
        """Whether it says anything of this world."""
        return self != Words()


def single(
    *,
    color: str,
    shape: str,
    background: str,
    style: str = "plain",
    motion: str = "moving right",
    camera: str = "still",
    seed: int = 0,
) -> Scene:
    """A scene of one thing."""
    thing = Thing(color=color, shape=shape, motion=motion)
    return Scene(things=(thing,), background=background, style=style, camera=camera, seed=seed)


def random_scene(
    rng: np.random.Generator, *, held_out: bool | None = False, things: int | None = None
) -> Scene:
    """Draw a scene, every word equally likely.

    Args:
        rng: the only source of chance.
        held_out: only combinations kept from training, only others, or (none) any.
        things: one or two; none is either, equally likely.
    """
    while True:
        count = things or int(rng.integers(1, MOST_THINGS + 1))
        colors = rng.permutation(list(COLORS))[:count].tolist()
        shapes = rng.permutation(list(SHAPES))[:count].tolist()
        scene = Scene(
            things=tuple(
                Thing(color=color, shape=shape, motion=str(rng.choice(MOTIONS)))
                for color, shape in zip(colors, shapes, strict=True)
            ),
            background=str(rng.choice(BACKGROUNDS)),
            style=str(rng.choice(STYLES)),
            camera=str(rng.choice(CAMERAS)),
            seed=int(rng.integers(2**31)),
        )
        if held_out is None or scene.held_out == held_out:
            return scene


def read_caption(text: str) -> Words:
    """Find the words of a caption or prompt, the inverse of `Scene.caption`.

    A shape ends a thing, and the last colour before it, since the thing before, is its colour.
    Colours without a shape make a thing of colour alone. Things beyond two are left out.

    Args:
        text: any text; case and punctuation do not matter.
    """
    things: list[tuple[str | None, str | None]] = []
    color = background = None
    style = "plain"
    for word in re.findall(r"[a-z]+", text.lower()):
        if word in COLORS:
            color = word
        elif word in SHAPES:
            things.append((color, word))
            color = None
        elif word in BACKGROUNDS:
            background = word
        elif word in STYLES:
            style = word
    if color is not None:
        things.append((color, None))
    return Words(things=tuple(things[:MOST_THINGS]), background=background, style=style)


def _is_held_out(*words: str) -> bool:
    digest = hashlib.sha256("|".join(words).encode()).digest()
    return int.from_bytes(digest[:4], "big") < _HELD_OUT * 2**32
