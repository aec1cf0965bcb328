"""What a layered atlas is trained to minimise (arXiv 2109.11418, equations 5 to 13).

Must agree with ykasten/layered-neural-atlases in the losses and their weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from methods.atlas import MAPPING_SCALE, Atlas
from methods.flow import optical_flow
from methods.method import Frames, Masks
from methods.text2live_config import AtlasConfig

_RGB, _GRADIENT, _SPARSITY = 5000.0, 1000.0, 1000.0
_RIGIDITY, _GLOBAL_FOREGROUND, _GLOBAL_BACKGROUND = 1.0, 5.0, 50.0
_FLOW, _ALPHA_FLOW, _BOOTSTRAP = 5.0, 49.0, 2000.0
_DAMPING = 1e-3
"""Keeps the inverse of a mapping's Jacobian finite."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Footage:
    """A clip on the device, with all that is known of it."""

    frames: Tensor
    """(F, H, W, 3), 0 to 1."""
    mask: Tensor
    """(F, H, W), 0 or 1."""
    flows: tuple[Tensor, Tensor]
    """(F, H, W, 2) to the next frame and to the former one, in pixels."""
    seen: tuple[Tensor, Tensor]
    """(F, H, W), 1 where that is to be trusted."""

    @classmethod
    def of(cls, frames: Frames, mask: Masks, device: torch.device) -> Footage:
        """Bring a clip to the device, and find its flow."""

        def moved(array: NDArray[Any]) -> Tensor:
            return torch.from_numpy(array).float().to(device)

        flows = optical_flow(frames)
        following, former = (moved(flow.vectors) for flow in flows)
        seen, seen_before = (moved(flow.seen) for flow in flows)
        return cls(
            frames=moved(frames) / 255,
            mask=moved(mask),
            flows=(following, former),
            seen=(seen, seen_before),
        )


class _Batch:
    """Pixels of a step, those around them, and where they are in the frames after and before."""

    def __init__(self, footage: Footage, pixels_N3: Tensor, far: int) -> None:
        x, y, t = pixels_N3.unbind(1)
        self.at = t, y, x
        height, width = footage.frames.shape[1:3]
        self.colours = footage.frames[self.at]
        # At the edge there is no difference, as there.
        self.right = footage.frames[t, y, (x + 1).clamp(max=width - 1)] - self.colours
        self.below = footage.frames[t, (y + 1).clamp(max=height - 1), x] - self.colours
        self.mask = footage.mask[self.at][:, None]
        self.seen = [seen[self.at] for seen in footage.seen]
        here = pixels_N3.float()
        steps = {
            "here": (0, 0),
            "right": (1, 0),
            "below": (0, 1),
            "left": (-1, 0),
            "above": (0, -1),
        }
        if far:
            steps |= {"far left": (-far, 0), "far above": (0, -far)}
        self.places = {name: here + here.new_tensor([*step, 0]) for name, step in steps.items()}
        for name, flow, frames in zip(("next", "former"), footage.flows, (1, -1), strict=True):
            there = torch.cat([flow[self.at], torch.full_like(here[:, :1], frames)], dim=1)
            self.places[name] = here + there


def mapping_loss(atlas: Atlas, pixels_N3: Tensor) -> Tensor:
    """How far the mappings are from leaving pixels where they are (the paper's appendix A)."""
    x = atlas.coordinates(pixels_N3.float())
    target = x[:, :2] * MAPPING_SCALE
    both = atlas.foreground(x), atlas.background(x)
    return torch.stack([(target - places).norm(dim=1).mean() for places in both]).sum()


def atlas_loss(
    atlas: Atlas, footage: Footage, pixels_N3: Tensor, config: AtlasConfig, step: int
) -> Tensor:
    """The whole loss of some pixels.

    Args:
        atlas: The networks.
        footage: The clip.
        pixels_N3: (x, y, frame), int64, on the device.
        config: How long alpha is held to the mask and the mappings are rigid over a distance.
        step: Its number after the mappings' own, from 0.
    """
    far = config.global_rigidity_distance if step <= config.global_rigidity_steps else 0
    batch = _Batch(footage, pixels_N3, far)
    seeing = "here", "right", "below"
    opacity = _evaluate(atlas.opacity, atlas, batch, (*seeing, "next", "former"))
    mapped = {
        "foreground": _evaluate(atlas.foreground, atlas, batch, tuple(batch.places)),
        "background": _evaluate(atlas.background, atlas, batch, tuple(batch.places)),
    }
    places = {layer: torch.cat([found[name] for name in seeing]) for layer, found in mapped.items()}
    fore = atlas.colour(places["foreground"], "foreground").chunk(len(seeing))
    back = atlas.colour(places["background"], "background").chunk(len(seeing))
    alphas = [opacity[name] for name in seeing]
    composed = [a * f + (1 - a) * b for a, f, b in zip(alphas, fore, back, strict=True)]
    alpha = alphas[0]
    loss = _RGB * _squared(composed[0] - batch.colours)
    loss = loss + _GRADIENT * _squared(composed[1] - composed[0] - batch.right)
    loss = loss + _GRADIENT * _squared(composed[2] - composed[0] - batch.below)
    loss = loss + _SPARSITY * _squared(fore[0] * (1 - alpha))
    for layer, weight in (("foreground", alpha), ("background", 1 - alpha)):
        loss = loss + _FLOW * _flow_loss(mapped[layer], weight, batch, atlas.pixels_per_unit)
        loss = loss + _RIGIDITY * rigidity(mapped[layer], ("left", "above"), 1, atlas)
    if far:
        for layer, coefficient in _GLOBAL.items():
            distant = rigidity(mapped[layer], ("far left", "far above"), far, atlas)
            loss = loss + coefficient * distant
    loss = loss + _ALPHA_FLOW * _alpha_flow_loss(opacity, batch)
    if step <= config.bootstrap_steps:
        held = torch.nn.functional.binary_cross_entropy(alpha, batch.mask)
        loss = loss + _BOOTSTRAP * held
    return loss


_GLOBAL = {"foreground": _GLOBAL_FOREGROUND, "background": _GLOBAL_BACKGROUND}


def _evaluate(
    network: Callable[[Tensor], Tensor], atlas: Atlas, batch: _Batch, names: tuple[str, ...]
) -> dict[str, Tensor]:
    """A network's values at several places of each pixel, computed at once."""
    pixels = torch.cat([batch.places[name] for name in names])
    return dict(zip(names, network(atlas.coordinates(pixels)).chunk(len(names)), strict=True))


def _squared(difference_N3: Tensor) -> Tensor:
    return difference_N3.square().sum(dim=1).mean()


def rigidity(
    mapped: dict[str, Tensor], beside: tuple[str, str], distance: int, atlas: Atlas
) -> Tensor:
    """How far a mapping is from a rotation: the norms of JᵀJ and of its inverse (equation 9).

    Args:
        mapped: Places in the atlas, (N, 2) each, of ``here`` and of ``beside``.
        beside: What is ``distance`` pixels to the left, and above.
        distance: In pixels.
        atlas: Knows how many pixels a unit has.
    """
    scale = atlas.pixels_per_unit / MAPPING_SCALE / distance
    along_x, along_y = ((mapped["here"] - mapped[name]) * scale for name in beside)
    a, d = along_x.square().sum(1), along_y.square().sum(1)
    b = (along_x * along_y).sum(1)
    norm = (a.square() + 2 * b.square() + d.square()).sqrt()
    a, d = a + _DAMPING, d + _DAMPING
    inverse = (a.square() + 2 * b.square() + d.square()).sqrt() / (a * d - b.square())
    return (norm + inverse).mean()


def _flow_loss(
    mapped: dict[str, Tensor], weight_N1: Tensor, batch: _Batch, pixels_per_unit: float
) -> Tensor:
    """How far, in pixels, the flow leads away from a pixel's place in the atlas (equation 11)."""
    losses = []
    for name, seen in zip(("next", "former"), batch.seen, strict=True):
        away = (mapped[name] - mapped["here"]).norm(dim=1) * pixels_per_unit / MAPPING_SCALE
        losses.append(_mean(away * weight_N1[:, 0], seen))
    return torch.stack(losses).mean()


def _alpha_flow_loss(opacity: dict[str, Tensor], batch: _Batch) -> Tensor:
    """How much alpha changes along the flow (equation 12)."""
    losses = [
        _mean((opacity[name] - opacity["here"]).abs()[:, 0], seen)
        for name, seen in zip(("next", "former"), batch.seen, strict=True)
    ]
    return torch.stack(losses).mean()


def _mean(values_N: Tensor, seen_N: Tensor) -> Tensor:
    """Mean of what is seen; 0 where nothing is."""
    return (values_N * seen_N).sum() / seen_N.sum().clamp(min=1)
