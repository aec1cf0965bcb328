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


@dataclass(frozen=True, slots=True)
class Noised:
    """Latents of B stills at noise levels of their own."""

    latents: Tensor
    """(B, 4, 16, 16), channels_last."""
    times: Tensor
    """(B,) int64."""
    noise: Tensor
    """(B, 4, 16, 16), what is in them."""


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
        self._weight = (_SNR_LIMIT * (1 - self._signal) / self._signal).clamp(max=1.0)
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
        )

    def loss(self, predicted: Tensor, noised: Noised) -> Tensor:
        """Mean squared error of the predicted noise (B, 4, 16, 16), weighted by the noise level."""
        error = ((predicted.float() - noised.noise) ** 2).mean(dim=(1, 2, 3))
        weight = self._weight.to(self._device)[noised.times]
        mean: Tensor = (weight * error).mean()
        return mean


def _latents(
    vae: Any, data: Stills, folder: Path, device: torch.device
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float16]]:
    """Posterior means and deviations of all stills, (N, 4, 16, 16), computed once for each VAE."""
    digest = hashlib.sha256()
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
