"""Layered neural atlas (Kasten et al., arXiv 2109.11418): a clip as two pictures that move.

One network maps each pixel of each frame to a place in the foreground's atlas, one to a place in
the background's, one says how much of the pixel is foreground, and one knows the colours of both
atlases. Must agree with ykasten/layered-neural-atlases in what the networks are.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from methods.method import ClipSize
from methods.text2live_config import AtlasConfig

MAPPING_SCALE = 0.8
"""Of an atlas's side, what the longer side of a frame takes up at first."""
_SKIPS = (4, 7)
"""Layers of the colours' network that see its input again."""
_CHUNK = 1 << 16
"""Pixels that are computed at once where no gradient is needed."""

Layer = Literal["foreground", "background"]
LAYERS: tuple[Layer, ...] = ("foreground", "background")


class CoordinateMLP(nn.Module):
    """A network from coordinates in -1 to 1 to values in -1 to 1."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int,
        layers: int,
        frequencies: int = 0,
        skips: Collection[int] = (),
    ) -> None:
        """Make the network.

        Args:
            inputs: Coordinates.
            outputs: Values.
            width: Channels of hidden layers.
            layers: Number of layers, with the last one.
            frequencies: Octaves of the positional encoding; 0 is none.
            skips: Layers that are given the encoded coordinates beside what the former made.
        """
        super().__init__()
        self.frequencies, self.skips = frequencies, frozenset(skips)
        encoded = 2 * inputs * frequencies if frequencies else inputs
        self.hidden = nn.ModuleList(
            nn.Linear(
                encoded if i == 0 else width + (encoded if i in self.skips else 0),
                outputs if i == layers - 1 else width,
            )
            for i in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) to (N, outputs)."""
        if self.frequencies:
            octaves = math.pi * 2.0 ** torch.arange(self.frequencies, device=x.device)
            angles = (x[:, None] * octaves[:, None]).flatten(1)
            x = torch.cat([angles.sin(), angles.cos()], dim=1)
        encoded = x.detach()  # as there: layers in between alone tell the mappings what is wrong
        for i, layer in enumerate(self.hidden):
            if i:
                x = x.relu()
            if i in self.skips:
                x = torch.cat([x, encoded], dim=1)
            x = layer(x)
        return x.tanh()


class Atlas(nn.Module):
    """The four networks of a clip."""

    def __init__(self, config: AtlasConfig, size: ClipSize) -> None:
        """Make untrained networks, drawn from torch's generator."""
        super().__init__()
        self.size = size
        width = config.width
        self.foreground = CoordinateMLP(3, 2, width=width, layers=config.foreground_layers)
        self.background = CoordinateMLP(3, 2, width=width, layers=config.background_layers)
        self.alpha = CoordinateMLP(
            3, 1, width=width, layers=config.alpha_layers, frequencies=config.alpha_frequencies
        )
        self.colours = CoordinateMLP(
            2,
            3,
            width=width,
            layers=config.atlas_layers,
            frequencies=config.atlas_frequencies,
            skips=_SKIPS,
        )

    @property
    def pixels_per_unit(self) -> float:
        """Pixels of a frame by unit of the coordinates in -1 to 1."""
        return max(self.size.width, self.size.height) / 2

    def coordinates(self, pixels_N3: Tensor) -> Tensor:
        """Pixels (x, y, frame) as the networks take them: (N, 3) in about -1 to 1."""
        side, frames = self.pixels_per_unit, self.size.num_frames / 2
        return pixels_N3 / pixels_N3.new_tensor([side, side, frames]) - 1

    def opacity(self, coordinates_N3: Tensor) -> Tensor:
        """How much of each pixel is foreground: (N, 1), never quite 0 or 1."""
        alpha: Tensor = (self.alpha(coordinates_N3) + 1) / 2 * 0.99 + 0.001
        return alpha

    def colour(self, places_N2: Tensor, layer: Layer) -> Tensor:
        """Colours at places in -1 to 1 of an atlas: (N, 3) in 0 to 1.

        The foreground's is the quarter of the plane above 0, the background's that below.
        """
        shift = 0.5 if layer == "foreground" else -0.5
        colours: Tensor = (self.colours(places_N2 / 2 + shift) + 1) / 2
        return colours

    def mapping(self, layer: Layer) -> CoordinateMLP:
        """The network that maps pixels to a layer's atlas."""
        return self.foreground if layer == "foreground" else self.background


def load_atlas(path: Path, config: AtlasConfig, size: ClipSize, device: torch.device) -> Atlas:
    """Read a trained atlas.

    Raises:
        OSError, RuntimeError: the file is not of such a one.
    """
    atlas = Atlas(config, size)
    atlas.load_state_dict(load_file(path))
    return atlas.to(device).requires_grad_(requires_grad=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """What an atlas says of every pixel of its clip."""

    places: Tensor
    """(F, H, W, 2) in 0 to 1: where a layer's pixels lie in its atlas."""
    alpha: Tensor
    """(F, 1, H, W) in 0 to 1."""
    foreground: Tensor
    """(F, 3, H, W) in 0 to 1."""
    background: Tensor
    """Likewise."""

    @property
    def whole(self) -> Tensor:
        """The reconstructed clip, (F, 3, H, W) in 0 to 1."""
        return self.alpha * self.foreground + (1 - self.alpha) * self.background


@torch.no_grad()
def render(atlas: Atlas, layer: Layer, device: torch.device) -> Rendered:
    """Compute every pixel of the clip, and a layer's places."""
    size = atlas.size
    parts = []
    for pixels in _all_pixels(size):
        x = atlas.coordinates(pixels.to(device))
        places = {name: atlas.mapping(name)(x) for name in LAYERS}
        colours = [atlas.colour(places[name], name) for name in LAYERS]
        parts.append((places[layer] / 2 + 0.5, atlas.opacity(x), *colours))
    shape = size.num_frames, size.height, size.width, -1
    found = [torch.cat(part).view(shape) for part in zip(*parts, strict=True)]
    pictures = [part.permute(0, 3, 1, 2) for part in found[1:]]
    return Rendered(
        places=found[0], alpha=pictures[0], foreground=pictures[1], background=pictures[2]
    )


def _all_pixels(size: ClipSize) -> Iterator[Tensor]:
    """Every pixel (x, y, frame) in the order of an array (F, H, W), in pieces."""
    count = size.num_frames * size.height * size.width
    for first in range(0, count, _CHUNK):
        i = torch.arange(first, min(first + _CHUNK, count))
        frame, rest = i // (size.height * size.width), i % (size.height * size.width)
        yield torch.stack([rest % size.width, rest // size.width, frame], dim=1).float()


@torch.no_grad()
def picture(atlas: Atlas, layer: Layer, resolution: int, device: torch.device) -> Tensor:
    """A layer's atlas, (3, R, R) in 0 to 1, whose pixel i lies at i / R of its side."""
    rows = []
    steps = torch.arange(resolution, device=device) / resolution * 2 - 1
    for row in torch.split(steps, max(1, _CHUNK // resolution)):
        v, u = torch.meshgrid(row, steps, indexing="ij")
        rows.append(atlas.colour(torch.stack([u, v], dim=-1).view(-1, 2), layer))
    return torch.cat(rows).view(resolution, resolution, 3).permute(2, 0, 1)
