"""Looks at frames and says what they show: the judge of generated clips.

A small convolutional network, trained on drawn frames with the faults that generated ones have. It
is measured on combinations of words that it never saw (``python -m tinyworld.evaluate``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from tinyworld.reader_net import FRAME_CLASSES, THING_CLASSES, ReaderNet, Scores
from tinyworld.scenes import SIZE
from tinyworld.shipped import shipped_model

_WEIGHTS, _CONFIG = "model.safetensors", "config.json"

Words = npt.NDArray[np.str_]
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reading:
    """What F frames show. Each frame's two slots hold its things in no order."""

    present: Numbers
    """(F, 2), how likely it is that there is a thing, 0 to 1."""
    color: Words
    """(F, 2), the likeliest word, whether or not there is a thing; so are shape, pattern, rim."""
    shape: Words
    pattern: Words
    rim: Words
    shade: Numbers
    """(F, 2), -1 (dark) to 1 (pale)."""
    size: Numbers
    """(F, 2), half of the width, in pixels of a frame of 64×64."""
    centers: Numbers
    """(F, 2, 2), x and y of the middle, in pixels of a frame of 64×64."""
    background: Words
    """(F,)."""
    style: Words
    """(F,)."""
    tint: Numbers
    """(F,), -1 (cold) to 1 (warm)."""
    light: Numbers
    """(F,), -1 (from the left) to 1 (from the right)."""

    def ordered(self, slots: npt.NDArray[np.int64]) -> Reading:
        """The same with things in another order: (F, K) slot numbers, 0 or 1."""
        rows = np.arange(len(slots))[:, None]
        of_things = (*THING_CLASSES, "present", "shade", "size", "centers")
        parts = {
            field.name: getattr(self, field.name)[rows, slots]
            if field.name in of_things
            else getattr(self, field.name)
            for field in fields(self)
        }
        return Reading(**parts)

    def at(self, frames: slice) -> Reading:
        """Some of the frames."""
        return Reading(**{field.name: getattr(self, field.name)[frames] for field in fields(self)})

    @staticmethod
    def joined(parts: Sequence[Reading]) -> Reading:
        """Readings one after another."""
        names = [field.name for field in fields(Reading)]
        return Reading(**{n: np.concatenate([getattr(part, n) for part in parts]) for n in names})


class Reader:
    """A trained network that reads frames."""

    def __init__(self, net: ReaderNet, device: str = "cpu") -> None:
        """Take a trained network.

        Args:
            net: fp32.
            device: where it runs.
        """
        self.device = torch.device(device)
        self.net = net.to(self.device).eval()

    @classmethod
    def load(cls, folder: Path | None = None, device: str = "cpu") -> Reader:
        """Load what `save` wrote.

        Args:
            folder: of the reader; none is the one that comes with the package.
            device: where it runs.

        Raises:
            ValueError: it was trained on other words than this version's world has.
            FileNotFoundError: it is not there.
        """
        from safetensors.torch import load_file  # noqa: PLC0415

        folder = folder or shipped_model("reader")
        words = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
        if words != _words():
            raise ValueError(
                f"the reader in {folder} knows the words {words}, but the world has {_words()}: "
                "train it anew with python -m tinyworld.train --parts reader"
            )
        net = ReaderNet()
        net.load_state_dict({k: v.float() for k, v in load_file(folder / _WEIGHTS).items()})
        return cls(net, device)

    def save(self, folder: Path) -> None:
        """Write the network in fp16, and the words that it tells apart."""
        from safetensors.torch import save_file  # noqa: PLC0415

        folder.mkdir(parents=True, exist_ok=True)
        state = {
            name: value.half().cpu().contiguous() for name, value in self.net.state_dict().items()
        }
        save_file(state, folder / _WEIGHTS)
        (folder / _CONFIG).write_text(json.dumps(_words(), indent=2) + "\n", encoding="utf-8")

    @torch.no_grad()
    def read(self, frames_FHWC: npt.NDArray[np.uint8]) -> Reading:
        """Read frames, each for itself.

        Args:
            frames_FHWC: (F, H, W, 3) RGB, square; they are resized to 64×64.

        Raises:
            ValueError: the frames have another shape or are not uint8.
        """
        shape = frames_FHWC.shape
        if frames_FHWC.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3:  # noqa: PLR2004
            raise ValueError(
                f"frames are {frames_FHWC.dtype} of shape {shape}, but uint8 of (F, H, W, 3) needed"
            )
        if shape[1] != shape[2]:
            raise ValueError(
                f"frames are {shape[2]}×{shape[1]}, but the tiny world is square: set video.width "
                "and video.height alike"
            )
        x = torch.from_numpy(_resized(frames_FHWC)).to(self.device).permute(0, 3, 1, 2)
        return Reading.joined(
            [_named(self.net(part.float() / 127.5 - 1)) for part in torch.split(x, 64)]
        )


def _named(scores: Scores) -> Reading:
    """The likeliest words of a batch."""

    def likeliest(logits: torch.Tensor, words: Sequence[str]) -> Words:
        found: Words = np.array(words)[logits.argmax(dim=-1).cpu().numpy()]
        return found

    looks = scores.looks.double().cpu().numpy()
    places = scores.places.double().cpu().numpy()
    words = {name: likeliest(scores.things[name], THING_CLASSES[name]) for name in THING_CLASSES}
    words |= {name: likeliest(scores.frames[name], FRAME_CLASSES[name]) for name in FRAME_CLASSES}
    return Reading(
        present=scores.present.sigmoid().double().cpu().numpy(),
        shade=looks[..., 0],
        size=looks[..., 1],
        centers=looks[..., 2:],
        tint=places[:, 0],
        light=places[:, 1],
        **words,
    )


def _resized(frames_FHWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    if frames_FHWC.shape[1] == SIZE:
        return np.ascontiguousarray(frames_FHWC)
    from PIL import Image  # noqa: PLC0415

    kind = Image.Resampling.BOX if frames_FHWC.shape[1] > SIZE else Image.Resampling.BILINEAR
    return np.stack(
        [np.asarray(Image.fromarray(frame).resize((SIZE, SIZE), kind)) for frame in frames_FHWC]
    )


def _words() -> dict[str, Sequence[str]]:
    return {name: list(words) for name, words in (THING_CLASSES | FRAME_CLASSES).items()}
