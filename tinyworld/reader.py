"""Looks at frames and says what they show: the judge of generated clips.

A small convolutional network, trained on drawn frames with the faults that generated ones have. It
is measured on combinations of words that it never saw (``python -m tinyworld.evaluate``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tinyworld.draw import render_at
from tinyworld.scenes import ATTRIBUTES, SIZE, Attribute, Scene
from tinyworld.shipped import shipped_model

_WIDTHS = (32, 64, 96, 128)
_WEIGHTS, _CONFIG = "model.safetensors", "config.json"


@dataclass(frozen=True, slots=True)
class Reading:
    """What F frames show."""

    attributes: dict[Attribute, tuple[str, ...]]
    """The likeliest word for each frame, by attribute, whether or not there is an object."""
    present: npt.NDArray[np.float64]
    """(F,), how likely it is that an object is there, 0 to 1."""
    centers: npt.NDArray[np.float64]
    """(F, 2), x and y of its middle, in pixels of a frame of 64×64."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How well a reader reads frames whose truth is known."""

    right: dict[Attribute, float]
    """Share of frames with the right word, by attribute."""
    present: float
    """Share of the frames with an object in which it is seen."""
    absent: float
    """Share of the frames without an object in which none is seen."""
    miss: float
    """Mean distance of the centre from the true one, in pixels."""


class ReaderNet(nn.Module):
    """Frames to scores of every word, of presence, and a map of where the object is."""

    def __init__(self) -> None:
        """Build it untrained."""
        super().__init__()
        blocks: list[nn.Module] = []
        before = 3
        for index, width in enumerate(_WIDTHS):
            stride = 2 if index in (1, 2) else 1  # 64, 32, 16, 16
            blocks += [_block(before, width, stride), _block(width, width, 1)]
            before = width
        self.body = nn.Sequential(*blocks)
        self.where = nn.Conv2d(before, 1, 1)
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Linear(2 * before, before), nn.ReLU(), nn.Linear(before, len(words))
                )
                for name, words in ATTRIBUTES.items()
            }
        )
        self.present = nn.Linear(2 * before, 1)

    def forward(self, frames_NCHW: Tensor) -> tuple[dict[Attribute, Tensor], Tensor, Tensor]:
        """Read frames.

        Args:
            frames_NCHW: (N, 3, 64, 64) in -1 to 1.

        Returns:
            Logits (N, words) by attribute, logits of presence (N,), centres (N, 2) in pixels.
        """
        features = self.body(frames_NCHW)
        side = features.shape[-1]
        weight = self.where(features).flatten(2).softmax(dim=-1)  # (N, 1, S)
        flat = features.flatten(2)
        there, everywhere = (flat * weight).sum(dim=-1), flat.mean(dim=-1)
        both = torch.cat([there, everywhere], dim=1)
        logits = {name: self.heads[name](both) for name in ATTRIBUTES}
        place = (torch.arange(side, device=features.device) + 0.5) * (SIZE / side) - 0.5
        grid = weight.view(-1, side, side)
        centers = torch.stack([(grid.sum(dim=k) * place).sum(dim=-1) for k in (1, 2)], dim=-1)
        return logits, self.present(both)[:, 0], centers


def _block(before: int, width: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, width, 3, stride=stride, padding=1), nn.GroupNorm(8, width), nn.ReLU()
    )


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
        state = {name: value.half().cpu() for name, value in self.net.state_dict().items()}
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
        parts = [self.net(part.float() / 127.5 - 1) for part in torch.split(x, 64)]
        attributes = {
            name: tuple(
                words[i] for logits, _, _ in parts for i in logits[name].argmax(dim=1).tolist()
            )
            for name, words in ATTRIBUTES.items()
        }
        present = torch.cat([p for _, p, _ in parts]).sigmoid().double().cpu().numpy()
        centers = torch.cat([c for _, _, c in parts]).double().cpu().numpy()
        return Reading(attributes, present, centers)


def accuracy(
    reader: Reader,
    scenes: Sequence[Scene],
    change: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]] = lambda frames: frames,
) -> Accuracy:
    """Measure a reader on one frame of each scene, at a time that the scene's seed decides.

    Args:
        reader: whom to measure.
        scenes: what to draw, with its object and without; at least one.
        change: done to the frames, (N, 64, 64, 3), before they are read, such as to encode them.
    """
    times = [np.random.default_rng(scene.seed).uniform(size=1) for scene in scenes]
    pairs = list(zip(scenes, times, strict=True))
    clips = [render_at(scene, time) for scene, time in pairs]
    backdrops = [render_at(scene, time, empty=True).frames for scene, time in pairs]
    reading = reader.read(change(np.concatenate([clip.frames for clip in clips])))
    empty = reader.read(change(np.concatenate(backdrops)))
    centers = np.concatenate([clip.centers for clip in clips])
    words = [scene.attributes for scene in scenes]
    right = {
        name: float(np.mean([r == w[name] for r, w in zip(read, words, strict=True)]))
        for name, read in reading.attributes.items()
    }
    return Accuracy(
        right,
        present=float((reading.present > 0.5).mean()),  # noqa: PLR2004 - likelier than not
        absent=float((empty.present <= 0.5).mean()),  # noqa: PLR2004
        miss=float(np.linalg.norm(reading.centers - centers, axis=1).mean()),
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
    return {name: list(words) for name, words in ATTRIBUTES.items()}
