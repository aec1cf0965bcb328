"""The autoencoder: 64×64 pixels to 16×16 latents of 4 channels and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tinyworld.train.data import Stills
from tinyworld.train.loop import Settings, Step, fit

_KL_WEIGHT = 1e-4
"""Of the mean KL divergence per latent value, in nats: enough to keep the latents smooth."""


def new_vae() -> Any:
    """An untrained AutoencoderKL of factor 4."""
    from diffusers import AutoencoderKL  # noqa: PLC0415 - seconds that the other parts need not pay

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(24, 48, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
    )


def train_vae(data: Stills, settings: Settings, folder: Path, device: torch.device) -> Any:
    """Train the autoencoder and set its scaling factor to one over its latents' deviation.

    Args:
        data: what it shall reconstruct.
        settings: of the training.
        folder: for checkpoint and log.
        device: where to train.

    Returns:
        The AutoencoderKL with its averaged weights.
    """
    torch.manual_seed(settings.seed)
    vae = new_vae().to(device, memory_format=torch.channels_last)

    def loss(step: Step) -> Tensor:
        x = pixels(data, torch.randint(len(data), (step.batch,), generator=step.generator), device)
        posterior = vae.encode(x).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=step.generator).to(device)
        out = vae.decode(posterior.mean + posterior.std * noise).sample
        error = functional.mse_loss(out.float(), x)
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
        total: Tensor = error + _KL_WEIGHT * kl
        return total

    fit("vae", vae, loss, settings, folder, device)
    means = encode(vae, data, range(0, len(data), max(1, len(data) // 512)), device)[0]
    vae.register_to_config(scaling_factor=round(1 / float(means.std()), 4))
    return vae


@torch.no_grad()
def encode(vae: Any, data: Stills, indices: range, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the posterior of stills, (N, 4, 16, 16) fp32 on the CPU."""
    means, deviations = [], []
    for chunk in torch.split(torch.tensor(list(indices)), 64):
        posterior = vae.encode(pixels(data, chunk, device)).latent_dist
        means.append(posterior.mean.cpu())
        deviations.append(posterior.std.cpu())
    return torch.cat(means), torch.cat(deviations)


def pixels(data: Stills, indices: Tensor, device: torch.device) -> Tensor:
    """Stills as a network takes them: (N, 3, 64, 64) fp32 in -1 to 1, channels_last."""
    bytes_NHWC = torch.from_numpy(data.pixels[indices.numpy()])
    x = bytes_NHWC.to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
    return x.contiguous(memory_format=torch.channels_last)
