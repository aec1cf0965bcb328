"""The reader, trained on stills with the faults of generated frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tinyworld.draw import render_at
from tinyworld.reader import Reader
from tinyworld.reader_net import FRAME_CLASSES, THING_CLASSES, ReaderNet, Scores
from tinyworld.scenes import BACKGROUNDS, SIZE, STYLES, random_scene
from tinyworld.train.data import NO_THING, Stills
from tinyworld.train.loop import Settings, Step, fit
from tinyworld.train.vae import pixels

_EMPTY = 0.1
"""Frames without a thing."""
_BACKDROPS = 2000
_LOOK_WEIGHTS = (0.5, 0.08, 0.05, 0.05)
"""Of the errors of shade, of size, and of x and y in pixels."""


def train_reader(data: Stills, settings: Settings, folder: Path, device: torch.device) -> Reader:
    """Train the reader; each still's things go to the slots that know them best.

    Args:
        data: stills to read.
        settings: of the training.
        folder: for checkpoint and log.
        device: where to train.
    """
    torch.manual_seed(settings.seed)
    net = ReaderNet().to(device)
    net.body.to(memory_format=torch.channels_last)
    empty, empty_classes = _backdrops(settings.seed)

    def loss(step: Step) -> Tensor:
        g = step.generator
        index = torch.randint(len(data), (step.batch,), generator=g)
        rows = index.numpy()
        x = pixels(data, index, torch.device("cpu"))
        frames, things = torch.from_numpy(data.frames[rows]), torch.from_numpy(data.things[rows])
        gone = torch.rand(step.batch, generator=g) < _EMPTY
        other = torch.randint(len(empty), (int(gone.sum()),), generator=g)
        x[gone], frames[gone], things[gone] = empty[other], empty_classes[other], NO_THING
        scores = net(worn(x, g).to(device, memory_format=torch.channels_last))
        look, place = (
            torch.from_numpy(part[rows]).float().to(device) for part in (data.looks, data.places)
        )
        things = things.to(device)
        straight = _thing_errors(scores, things, look)
        crossed = _thing_errors(scores, things.flip(1), look.flip(1))
        total = torch.minimum(straight, crossed).mean()
        for k, name in enumerate(FRAME_CLASSES):
            total = total + functional.cross_entropy(
                scores.frames[name].float(), frames[:, k].to(device)
            )
        there = (~gone).to(device)  # a backdrop's tint and light are not in `data`
        off = (scores.places.float() - place).abs().sum(dim=-1)
        wrong: Tensor = total + (off * there).sum() / there.sum().clamp(min=1)
        return wrong

    fit("reader", net, loss, settings, folder, device)
    return Reader(net, str(device))


def _thing_errors(scores: Scores, things: Tensor, looks: Tensor) -> Tensor:
    """Loss of each still (N,) where slot k holds thing k.

    Args:
        scores: of the network.
        things: (N, 2, 5) class numbers.
        looks: (N, 2, 4).
    """
    there = things[..., 0] != NO_THING
    total = functional.binary_cross_entropy_with_logits(
        scores.present.float(), there.float(), reduction="none"
    )
    for k, name in enumerate(THING_CLASSES):
        logits = scores.things[name].float().flatten(0, 1)
        error = functional.cross_entropy(
            logits, things[..., k].clamp(min=0).flatten(), reduction="none"
        )
        total = total + error.view_as(total) * there
    weight = torch.tensor(_LOOK_WEIGHTS, device=looks.device)
    off = ((scores.looks.float() - looks).abs() * weight).sum(dim=-1)
    return (total + off * there).sum(dim=1)


def _backdrops(seed: int) -> tuple[Tensor, Tensor]:
    """Frames without a thing, (N, 3, 64, 64) in -1 to 1, and their classes (N, 2)."""
    rng = np.random.default_rng([seed, 1])
    frames, classes = [], []
    for _ in range(_BACKDROPS):
        scene = random_scene(rng)
        frames.append(render_at(scene, rng.uniform(size=1), empty=True).frames[0])
        classes.append([BACKGROUNDS.index(scene.background), STYLES.index(scene.style)])
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
