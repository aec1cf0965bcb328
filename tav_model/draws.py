"""What a tuning step sees of a clip: a draw of its latents, noise, a noise level, and a window."""

from dataclasses import dataclass

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from tav_model.unet import ClipUNet
from tav_model.vae import Moments, sample_latents


@dataclass(frozen=True, slots=True)
class Draw:
    """One, on the latents' device."""

    latents_BCFHW: Tensor
    """(1, C, F, H, W) fp32 clean latents."""
    noise: Tensor
    """The same shape."""
    timesteps: Tensor
    """(1,) int64."""
    frames: Tensor | None
    """(F,) which of a long clip's frames these are; none is all."""


def draw(
    moments: Moments,
    unet: ClipUNet,
    scheduler: DDIMScheduler,
    generator: torch.Generator,
    level: float | None = None,
) -> Draw:
    """Draw latents, noise, noise level and, of a long clip, a window, always in this order.

    Args:
        moments: the clip's VAE posterior.
        unet: says its windows.
        scheduler: says how many levels there are.
        generator: a CPU generator.
        level: 0 .. 1 in place of a level by chance, which is drawn all the same.
    """
    latents = sample_latents(moments, generator)[None]
    noise = torch.randn(latents.shape, generator=generator)
    levels = scheduler.config.num_train_timesteps
    timesteps = torch.randint(0, levels, (1,), generator=generator)
    if level is not None:
        timesteps = torch.tensor([round(level * (levels - 1))])
    windows, frames, seen = unet.windows, latents.shape[2], None
    if windows is not None and windows.divides(frames):
        start = torch.randint(0, frames - windows.frames + 1, (1,), generator=generator)
        seen = torch.tensor(windows.seen(int(start)))
        latents, noise = latents[:, :, seen.to(latents.device)], noise[:, :, seen]
    device = latents.device
    return Draw(
        latents_BCFHW=latents,
        noise=noise.to(device),
        timesteps=timesteps.to(device),
        frames=None if seen is None else seen.to(device),
    )
