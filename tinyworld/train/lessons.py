"""What else the two models that look at stills are taught: which colour each shape has.

From captions alone a small transformer learns backgrounds and styles at once and shapes very late.
Reading the truth from the same features in training, by heads that are then thrown away, is what
makes it look at things from the start.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tinyworld.scenes import ATTRIBUTES, BACKGROUNDS, SHAPES, STYLES
from tinyworld.train.data import NO_THING, Stills

_COLORS = len(ATTRIBUTES["color"])


class Lessons(nn.Module):
    """Heads that read words from features."""

    def __init__(self, width: int) -> None:
        """Build them for features of a width."""
        super().__init__()
        self.colors = nn.Linear(width, len(SHAPES) * (_COLORS + 1))
        self.background = nn.Linear(width, len(BACKGROUNDS))
        self.style = nn.Linear(width, len(STYLES))

    def forward(self, features_NC: Tensor, data: Stills, index: Tensor) -> Tensor:
        """Mean error of reading each shape's colour (or absence), the background and the style.

        Args:
            features_NC: of stills.
            data: all stills.
            index: (N,) which they are.
        """
        rows = index.numpy()
        colors = torch.from_numpy(_color_by_shape(data.things[rows])).to(features_NC.device)
        frames = torch.from_numpy(data.frames[rows]).to(features_NC.device)
        logits = self.colors(features_NC).float().view(-1, _COLORS + 1)
        total = len(SHAPES) * functional.cross_entropy(logits, colors.flatten())
        for k, head in enumerate((self.background, self.style)):
            total = total + functional.cross_entropy(head(features_NC).float(), frames[:, k])
        return total


def _color_by_shape(things_N25: np.ndarray) -> np.ndarray:
    """(N, shapes): the colour's number, or the one after the last where there is none."""
    out = np.full((len(things_N25), len(SHAPES)), _COLORS, dtype=np.int64)
    for k in range(things_N25.shape[1]):
        there = np.nonzero(things_N25[:, k, 0] != NO_THING)[0]
        out[there, things_N25[there, k, 1]] = things_N25[there, k, 0]
    return out
