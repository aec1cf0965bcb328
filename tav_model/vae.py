"""Clips to latents and back, a few frames at a time.

Shape suffixes: F frames, C latent channels, H W pixels or latent pixels.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tav_model.finite import check_finite
from tav_model.frames import to_uint8
from tav_model.load import BaseModel

_OTHERWISE = "the VAE's weights are damaged, or it is another model's"


@dataclass(frozen=True, kw_only=True, slots=True)
class Moments:
    """The VAE posterior of a clip: encoded once, sampled anew at every tuning step."""

    mean_FCHW: Tensor
    """(F, C, H, W) fp32, unscaled."""
    std_FCHW: Tensor
    """(F, C, H, W) fp32, unscaled."""
    scaling_factor: float
    """What the UNet's latents are multiplied by (0.18215 for Stable Diffusion 1.x and 2.x)."""


@torch.no_grad()
def encode_moments(base: BaseModel, frames_FCHW: Tensor, chunk: int = 8) -> Moments:
    """Encode a clip.

    Args:
        base: the base model.
        frames_FCHW: (F, 3, H, W) in -1..1, see `tav_model.frames.to_model_range`.
        chunk: frames encoded at once; bounds the memory.

    Returns:
        The posterior on the model's device.

    Raises:
        ValueError: H or W is not a multiple of the VAE's factor, or there is no frame.
        NonFiniteError: the posterior holds NaN or infinity.
    """
    factor = 2 ** (len(base.vae.config.block_out_channels) - 1)
    f, _, h, w = frames_FCHW.shape
    if f == 0 or h % factor or w % factor or not h or not w:
        msg = (
            f"a clip of {f} frames of {w}x{h} pixels cannot be encoded: it needs a frame or more, "
            f"width and height multiples of {factor}. Crop, pad or resize it."
        )
        raise ValueError(msg)
    means, stds = [], []
    for part in torch.split(frames_FCHW, chunk):
        x = part.to(base.device, base.dtype, memory_format=torch.channels_last)
        posterior = base.vae.encode(x).latent_dist
        means.append(posterior.mean.float())
        stds.append((0.5 * posterior.logvar.float()).exp())
    moments = Moments(
        mean_FCHW=torch.cat(means).contiguous(),
        std_FCHW=torch.cat(stds).contiguous(),
        scaling_factor=float(base.vae.config.scaling_factor),
    )
    check_finite(moments.mean_FCHW + moments.std_FCHW, "VAE encoding", base.dtype, _OTHERWISE)
    return moments


def sample_latents(moments: Moments, generator: torch.Generator) -> Tensor:
    """Draw latents from the posterior.

    Args:
        moments: the clip's posterior.
        generator: CPU generator, so that a draw is the same on every device.

    Returns:
        (C, F, H, W) fp32 on the posterior's device, scaled as the UNet expects.
    """
    noise = torch.randn(moments.mean_FCHW.shape, generator=generator).to(moments.mean_FCHW.device)
    latents = (moments.mean_FCHW + moments.std_FCHW * noise) * moments.scaling_factor
    return latents.transpose(0, 1)


def mean_latents(moments: Moments) -> Tensor:
    """Take the posterior's mean as latents, which needs no draw.

    Args:
        moments: the clip's posterior.

    Returns:
        (C, F, H, W) fp32, scaled as the UNet expects.
    """
    return (moments.mean_FCHW * moments.scaling_factor).transpose(0, 1)


@torch.no_grad()
def decode_video(base: BaseModel, latents_CFHW: Tensor, chunk: int = 8) -> Tensor:
    """Decode latents to frames.

    Args:
        base: the base model.
        latents_CFHW: (C, F, H, W), scaled as the UNet's.
        chunk: frames decoded at once; bounds the memory.

    Returns:
        (F, 3, H, W) fp32 in 0..1 on the model's device.

    Raises:
        NonFiniteError: a frame holds NaN or infinity.
    """
    x_FCHW = latents_CFHW.transpose(0, 1).to(base.device) / base.vae.config.scaling_factor
    parts = [
        base.vae.decode(
            part.to(base.dtype).contiguous(memory_format=torch.channels_last), return_dict=False
        )[0].float()
        for part in torch.split(x_FCHW, chunk)
    ]
    video = torch.cat(parts)
    check_finite(video, "VAE decoding", base.dtype, _OTHERWISE)
    return (video / 2 + 0.5).clamp(0, 1)


def decode(base: BaseModel, latents_CFHW: Tensor, chunk: int = 8) -> NDArray[np.uint8]:
    """Decode latents to 8-bit frames, see `decode_video`.

    Returns:
        (F, H, W, 3) uint8 RGB, rounded.
    """
    return to_uint8(decode_video(base, latents_CFHW, chunk))
