"""The reader, trained on stills with the faults of generated frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tinyworld.draw import render_at
from tinyworld.reader import Reader, ReaderNet
from tinyworld.scenes import ATTRIBUTES, SIZE, random_scene
from tinyworld.train.data import Stills
from tinyworld.train.loop import Settings, Step, fit
from tinyworld.train.vae import pixels

_EMPTY = 0.12
"""Frames without an object."""
_BACKDROPS = 2000
_PLACE_WEIGHT = 0.05
"""Of the centre's error in pixels."""


def train_reader(data: Stills, settings: Settings, folder: Path, device: torch.device) -> Reader:
    """Train the reader.

    Args:
        data: stills to read.
        settings: of the training.
        folder: for checkpoint and log.
        device: where to train.
    """
    torch.manual_seed(settings.seed)
    net = ReaderNet().to(device)
    empty, empty_classes = _backdrops(settings.seed)

    def loss(step: Step) -> Tensor:
        g = step.generator
        index = torch.randint(len(data), (step.batch,), generator=g)
        x = pixels(data, index, torch.device("cpu"))
        classes = torch.from_numpy(data.classes[index.numpy()])
        centers = torch.from_numpy(data.centers[index.numpy()]).float()
        gone = torch.rand(step.batch, generator=g) < _EMPTY
        other = torch.randint(len(empty), (int(gone.sum()),), generator=g)
        x[gone], classes[gone] = empty[other], empty_classes[other]
        there = (~gone).to(device)
        logits, present, found = net(worn(x, g).to(device))
        total: Tensor = functional.binary_cross_entropy_with_logits(present.float(), there.float())
        for k, name in enumerate(ATTRIBUTES):
            error = functional.cross_entropy(
                logits[name].float(), classes[:, k].to(device), reduction="none"
            )
            counts = there if name in ("color", "shape") else torch.ones_like(there)
            total = total + (error * counts).sum() / counts.sum()
        miss = (found.float() - centers.to(device)).norm(dim=1)
        place: Tensor = _PLACE_WEIGHT * (miss * there).sum() / there.sum()
        return total + place

    fit("reader", net, loss, settings, folder, device)
    return Reader(net, str(device))


def _backdrops(seed: int) -> tuple[Tensor, Tensor]:
    """Frames without an object, (N, 3, 64, 64) in -1 to 1, and their classes (N, 4)."""
    rng = np.random.default_rng([seed, 1])
    frames, classes = [], []
    for _ in range(_BACKDROPS):
        scene = random_scene(rng)
        frames.append(render_at(scene, np.zeros(1), empty=True).frames[0])
        classes.append([words.index(getattr(scene, k)) for k, words in ATTRIBUTES.items()])
    x = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return x, torch.tensor(classes)


def worn(x_NCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Give frames the faults of generated and encoded ones: blur, pale colours, noise.

    Args:
        x_NCHW: (N, 3, 64, 64) in -1 to 1, on the CPU.
        generator: of all draws.

    Returns:
        The same shape; about a quarter of the frames have none of these faults.
    """
    n = len(x_NCHW)

    def draw(*shape: int) -> Tensor:
        return torch.rand(n, *shape, generator=generator)

    low = functional.interpolate(x_NCHW, scale_factor=0.5, mode="area")
    soft = functional.interpolate(low, size=SIZE, mode="bilinear")
    amount = (draw(1, 1, 1) - 0.4).clamp(min=0) * 1.4
    x = x_NCHW + amount * (soft - x_NCHW)
    # H.264 keeps a quarter of the colours' samples: brightness stays, colours are blurred.
    light, soft_light = x.mean(dim=1, keepdim=True), soft.mean(dim=1, keepdim=True)
    x = torch.where(draw(1, 1, 1) < 0.3, soft + (light - soft_light), x)  # noqa: PLR2004
    gain, shift = 1 + 0.2 * (draw(3, 1, 1) - 0.5), 0.16 * (draw(3, 1, 1) - 0.5)
    x = torch.where(draw(1, 1, 1) < 0.5, x * gain + shift, x)  # noqa: PLR2004
    noise = torch.randn(x.shape, generator=generator) * (draw(1, 1, 1) - 0.4).clamp(min=0) * 0.25
    return torch.clamp(x + noise, -1, 1)
