"""The network of the reader: frames to scores of every word and detail, for two things at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tinyworld.details import PATTERNS, RIMS
from tinyworld.scenes import ATTRIBUTES, MOST_THINGS, SIZE

_BLOCKS = ((48, 2), (64, 1), (96, 2), (96, 1), (128, 1), (128, 1))
"""Channels and strides: 64 pixels of side to 32 and 16."""
THING_CLASSES = {
    "color": ATTRIBUTES["color"],
    "shape": ATTRIBUTES["shape"],
    "pattern": PATTERNS,
    "rim": RIMS,
}
FRAME_CLASSES = {"background": ATTRIBUTES["background"], "style": ATTRIBUTES["style"]}


@dataclass(frozen=True, slots=True)
class Scores:
    """What the network says of N frames; its two slots hold the things in no order."""

    present: Tensor
    """(N, 2), logits of there being a thing."""
    things: dict[str, Tensor]
    """By `THING_CLASSES`: (N, 2, classes) logits."""
    looks: Tensor
    """(N, 2, 4): shade, size in pixels, x and y of the middle in pixels."""
    frames: dict[str, Tensor]
    """By `FRAME_CLASSES`: (N, classes) logits."""
    places: Tensor
    """(N, 2): tint and light."""


class ReaderNet(nn.Module):
    """A convolutional body, and for each of two slots a map of where it looks."""

    def __init__(self) -> None:
        """Build it untrained."""
        super().__init__()
        blocks: list[nn.Module] = []
        before = 3
        for width, stride in _BLOCKS:
            blocks.append(_block(before, width, stride))
            before = width
        self.body = nn.Sequential(*blocks)
        self.where = nn.Conv2d(before, MOST_THINGS, 1)
        sizes = {name: len(words) for name, words in THING_CLASSES.items()}
        self.things = nn.ModuleDict({n: _head(2 * before, before, s) for n, s in sizes.items()})
        sizes = {name: len(words) for name, words in FRAME_CLASSES.items()}
        self.frames = nn.ModuleDict({n: _head(2 * before, before, s) for n, s in sizes.items()})
        self.present = nn.Linear(2 * before, 1)
        self.looks = _head(2 * before, before, 2)
        self.places = _head(2 * before, before, 2)

    def forward(self, frames_NCHW: Tensor) -> Scores:
        """Read frames (N, 3, 64, 64) in -1 to 1."""
        features = self.body(frames_NCHW)
        side = features.shape[-1]
        weight = self.where(features).flatten(2).softmax(dim=-1)  # (N, 2, S)
        flat = features.flatten(2)
        there = torch.einsum("ncs,nks->nkc", flat, weight)
        everywhere = flat.mean(dim=-1)
        both = torch.cat([there, everywhere[:, None].expand_as(there)], dim=-1)
        spread = flat.amax(dim=-1)
        whole = torch.cat([everywhere, spread], dim=-1)
        along = (torch.arange(side, device=features.device) + 0.5) * (SIZE / side) - 0.5
        grid = weight.unflatten(2, (side, side)).float()
        x, y = ((grid.sum(dim=k) * along).sum(dim=-1) for k in (2, 3))
        shade, size = self.looks(both).float().unbind(dim=-1)
        looks = torch.stack([shade, 10 + 5 * size, x, y], dim=-1)
        return Scores(
            self.present(both)[..., 0],
            {name: head(both) for name, head in self.things.items()},
            looks,
            {name: head(whole) for name, head in self.frames.items()},
            self.places(whole),
        )


def _head(before: int, width: int, after: int) -> nn.Module:
    return nn.Sequential(nn.Linear(before, width), nn.ReLU(), nn.Linear(width, after))


def _block(before: int, width: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, width, 3, stride=stride, padding=1), nn.GroupNorm(8, width), nn.ReLU()
    )
