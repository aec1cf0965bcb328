"""What a clip shows, and the sentences that say so.

A scene is one coloured object that moves over a background, drawn in a style. Four words name what
a single frame shows (colour, shape, background, style), a fifth how the object moves. The grammar
is small on purpose: the models that are trained on it can be checked word by word.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

SIZE = 64
"""Width and height of every frame, in pixels."""
FRAMES = 24
"""Frames of a whole clip."""

Attribute = Literal["color", "shape", "background", "style"]

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
"""Every colour an object may have, as RGB in 0 to 255."""
SHAPES = ("fish", "car", "star", "house", "ball", "boat")
BACKGROUNDS = ("sea", "grass", "sand", "snow", "road")
STYLES = ("plain", "cartoon", "mosaic", "sketch")
"""``plain`` goes without saying: it is the style of a caption that names none."""
MOTIONS = ("moving right", "moving left", "rising", "sinking", "bouncing", "circling")

ATTRIBUTES: MappingProxyType[Attribute, tuple[str, ...]] = MappingProxyType(
    {"color": tuple(COLORS), "shape": SHAPES, "background": BACKGROUNDS, "style": STYLES}
)
"""The words for each attribute of a frame, in the order of every model's class numbers."""

WORDS = tuple(
    dict.fromkeys(
        f"a an is over the style {' '.join(w for words in ATTRIBUTES.values() for w in words)} "
        f"{' '.join(MOTIONS)}".split()
    )
)
"""Every word that a caption may hold."""

_HELD_OUT = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One clip. Equal scenes are equal to the pixel.

    Raises:
        ValueError: a word is not of this world; the message lists those that are.
    """

    color: str
    shape: str
    background: str
    style: str = "plain"
    motion: str = "moving right"
    seed: int = 0
    """Decides what no word says: the object's size, its path's place and the texture's phase."""

    def __post_init__(self) -> None:
        """Check the words."""
        for name, words in (*ATTRIBUTES.items(), ("motion", MOTIONS)):
            if getattr(self, name) not in words:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is not in the world: it has {', '.join(words)}"
                )

    @property
    def attributes(self) -> dict[Attribute, str]:
        """What each frame shows, by attribute."""
        return {name: getattr(self, name) for name in ATTRIBUTES}

    @property
    def held_out(self) -> bool:
        """Whether this combination of colour, shape, background and style is kept from training.

        About one in ten, chosen by hash, so that every word is seen in many other combinations.
        """
        digest = hashlib.sha256("|".join(self.attributes.values()).encode()).digest()
        return int.from_bytes(digest[:4], "big") < _HELD_OUT * 2**32

    def caption(self, *, motion: bool = True) -> str:
        """Say what the clip shows, such as ``a red fish is rising over the sea, cartoon style``.

        Args:
            motion: whether to say how the object moves, which a single frame cannot show.
        """
        article = "an" if self.color[0] in "aeiou" else "a"
        moves = f" is {self.motion}" if motion else ""
        style = "" if self.style == "plain" else f", {self.style} style"
        return f"{article} {self.color} {self.shape}{moves} over the {self.background}{style}"

    def scale(self) -> float:
        """Half the object's width in pixels, 13 to 16."""
        return float(self._rng().uniform(13, 16))

    def phase(self) -> tuple[float, float]:
        """Where the background's texture starts, two numbers in 0 to 1."""
        values = self._rng().uniform(size=3)[1:]
        return float(values[0]), float(values[1])

    def track(self, times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Centres of the object at times in 0 to 1: (T,) to (T, 2), x and y in pixels."""
        rng = self._rng()
        rng.uniform(size=3)  # the scale and the phase
        low, high = self.scale() + 2, SIZE - self.scale() - 2
        span = high - low
        start, end = low + span * rng.uniform(0, 0.12), high - span * rng.uniform(0, 0.12)
        level = low + span * rng.uniform(0.2, 0.8)
        going = start + (end - start) * times
        still = np.full_like(times, level)
        hops = np.abs(np.sin(2 * np.pi * times + np.pi * rng.uniform()))
        turn = 2 * np.pi * (times + rng.uniform())
        middle, radius = (start + end) / 2, (end - start) / 2.2
        paths = {
            "moving right": (going, still),
            "moving left": (start + end - going, still),
            "rising": (still, start + end - going),
            "sinking": (still, going),
            "bouncing": (going, high - (high - low) * 0.75 * hops),
            "circling": (middle + radius * np.cos(turn), middle + radius * np.sin(turn)),
        }
        return np.stack(paths[self.motion], axis=-1)

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, MOTIONS.index(self.motion)])


def random_scene(rng: np.random.Generator, *, held_out: bool | None = False) -> Scene:
    """Draw a scene, every word equally likely.

    Args:
        rng: the only source of chance.
        held_out: only combinations kept from training, only others, or (none) any.
    """
    while True:
        words = {name: str(rng.choice(words)) for name, words in ATTRIBUTES.items()}
        scene = Scene(**words, motion=str(rng.choice(MOTIONS)), seed=int(rng.integers(2**31)))
        if held_out is None or scene.held_out == held_out:
            return scene


def read_caption(text: str) -> dict[Attribute, str | None]:
    """Find the words of a caption or prompt, the inverse of `Scene.caption`.

    Args:
        text: any text; case and punctuation do not matter.

    Returns:
        The last word of each attribute in the text; none if there is none, but ``plain`` for style.
    """
    found: dict[Attribute, str | None] = dict.fromkeys(ATTRIBUTES)
    found["style"] = "plain"
    for word in re.findall(r"[a-z]+", text.lower()):
        for name, words in ATTRIBUTES.items():
            if word in words:
                found[name] = word
    return found
