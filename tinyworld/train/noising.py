"""Stills as noisy latents, and the loss of predicting their noise: of the base and of its nets."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tinyworld.layout import noise_scheduler
from tinyworld.train.data import Stills
from tinyworld.train.loop import world
from tinyworld.train.vae import encode

_SNR_LIMIT = 20.0
"""Signal-to-noise ratio above which a step's loss counts less (arXiv 2303.09556)."""
_MOST = 20.0
"""The most that a noise level's loss counts against one without noise."""
_THING = 3.0
"""How much more a latent cell of a thing counts than one of the background."""


@dataclass(frozen=True, slots=True)
class Noised:
    """Latents of B stills at noise levels of their own."""

    latents: Tensor
    """(B, 4, 16, 16), channels_last."""
    times: Tensor
    """(B,) int64."""
    noise: Tensor
    """(B, 4, 16, 16), what is in them."""
    weight: Tensor
    """(B, 16, 16), how much each cell's error counts."""


class Noising:
    """Draws noisy latents of stills, whose posteriors are computed once for each VAE."""

    def __init__(self, vae: Any, data: Stills, folder: Path, device: torch.device) -> None:
        """Encode all stills, or map what was encoded before.

        Args:
            vae: the trained autoencoder.
            data: the stills.
            folder: where the latents are kept.
            device: of the vae and of what is drawn.
        """
        self._means, self._deviations = _latents(vae, data, folder, device)
        self._scale = float(vae.config.scaling_factor)
        self._signal = noise_scheduler().alphas_cumprod
        self._levels = level_weights(self._signal)
        self._places = thing_weights(data)
        self._device = device

    def __call__(self, index: Tensor, generator: torch.Generator, *, cubic: bool = False) -> Noised:
        """Draw latents, noise and, evenly or not, noise levels.

        Args:
            index: (B,) which stills.
            generator: of all draws, on the CPU.
            cubic: favour the noisiest levels: t = (1 - u^3) T with u even in 0 to 1
                (arXiv 2302.08453, section 3.4).
        """
        count, g = len(index), generator
        mean, deviation = (
            torch.from_numpy(x[index.numpy()]).float() for x in (self._means, self._deviations)
        )
        clean = self._scale * (mean + deviation * torch.randn(mean.shape, generator=g))
        noise = torch.randn(mean.shape, generator=g)
        levels = len(self._signal)
        if cubic:
            even = torch.rand(count, generator=g)
            t = ((1 - even**3) * levels).long().clamp(max=levels - 1)
        else:
            t = torch.randint(levels, (count,), generator=g)
        a = self._signal[t][:, None, None, None]
        noisy = (a.sqrt() * clean + (1 - a).sqrt() * noise).to(self._device)
        return Noised(
            noisy.contiguous(memory_format=torch.channels_last),
            t.to(self._device),
            noise.to(self._device),
            (self._levels[t][:, None, None] * self._places[index].float()).to(self._device),
        )

    def loss(self, predicted: Tensor, noised: Noised) -> Tensor:
        """Mean squared error of the predicted noise (B, 4, 16, 16), weighted."""
        error = ((predicted.float() - noised.noise) ** 2).mean(dim=1)
        mean: Tensor = (noised.weight * error).mean()
        return mean


def level_weights(signal: Tensor) -> Tensor:
    """How much a step's squared error of the noise counts at each noise level, mean 1.

    As if the velocity were predicted (v-prediction, arXiv 2202.00512: 1 / signal), so that
    levels at which captions and maps decide count; bounded, and less where hardly any noise is
    left.

    Args:
        signal: (T,) cumulative alphas.
    """
    less = (_SNR_LIMIT * (1 - signal) / signal).clamp(max=1.0)
    weight = less * (1 / signal).clamp(max=_MOST)
    return weight / weight.mean()


def thing_weights(data: Stills) -> Tensor:
    """How much each latent cell of each still counts, (N, 16, 16) fp16, mean 1 a still.

    A thing is a tenth of a still and all that most words are about.
    """
    cells = (torch.arange(16) + 0.5) * 4
    looks = torch.from_numpy(np.array(data.looks)).float()
    there = torch.from_numpy(np.array(data.things[..., 0])) >= 0
    size = looks[..., 1, None] + 2
    x, y = ((cells - looks[..., k, None]).abs() <= size for k in (2, 3))
    inside = (y[..., :, None] & x[..., None, :] & there[..., None, None]).any(dim=1)
    weight = 1 + (_THING - 1) * inside.float()
    return (weight / weight.mean(dim=(1, 2), keepdim=True)).half()


def _latents(
    vae: Any, data: Stills, folder: Path, device: torch.device
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float16]]:
    """Posterior means and deviations of all stills, (N, 4, 16, 16), computed once for each VAE."""
    # A hundredth of the stills tells those of another recipe or seed.
    digest = hashlib.sha256(data.pixels[::100].tobytes())
    for name, tensor in sorted(vae.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    path = folder / f"latents-{len(data)}-{digest.hexdigest()[:12]}.npy"
    if not path.is_file() and world()[0] == 0:
        both = torch.stack(encode(vae, data, range(len(data)), device)).half().numpy()
        partial = path.with_suffix(".partial.npy")
        np.save(partial, both)
        partial.replace(path)
    if world()[1] > 1:
        torch.distributed.barrier()
    means, deviations = np.load(path, mmap_mode="r")
    return means, deviations
