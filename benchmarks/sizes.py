"""Sizes of the models that are measured, and base models of those sizes with random weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

    from tav_model.config import ModelConfig, TunedSet
    from tav_model.load import BaseModel
    from tav_model.unet import ClipUNet


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """One model, and the clip that goes through it."""

    channels: tuple[int, ...]
    """UNet channels per resolution."""
    heads: int
    """Attention heads, as many at every resolution (SD 1.x)."""
    text_channels: int
    """Width of the text embedding."""
    norm_groups: int = 32
    vae_channels: tuple[int, ...]
    frames: int
    latent_size: int
    """Side of the square latents; pixels are eight times as many."""


SIZES = {
    "tiny": Sizes(
        channels=(16, 32, 32, 32),
        heads=4,
        text_channels=32,
        norm_groups=8,
        vae_channels=(8, 8, 16, 16),
        frames=4,
        latent_size=8,
    ),
    "medium": Sizes(
        channels=(64, 128, 256, 256),
        heads=8,
        text_channels=256,
        vae_channels=(32, 64, 128, 128),
        frames=8,
        latent_size=32,
    ),
    "sd14": Sizes(
        channels=(320, 640, 1280, 1280),
        heads=8,
        text_channels=768,
        vae_channels=(128, 256, 512, 512),
        frames=32,
        latent_size=64,
    ),
}


def random_base(sizes: Sizes, config: ModelConfig, tuned: TunedSet = "paper") -> BaseModel:
    """Build a base model in memory; the text encoder is a small one, as text is encoded once.

    Args:
        sizes: of UNet and VAE.
        config: device, dtype and attention; its base is not looked at.
        tuned: what tuning is to change.

    Raises:
        ValueError: the device is not there.
    """
    import torch  # noqa: PLC0415 - the parent process, which only waits, stays small
    from transformers import CLIPTextConfig, CLIPTextModel  # noqa: PLC0415

    from tav_model.load import DTYPES, BaseModel, checked_device  # noqa: PLC0415
    from tinyworld.layout import noise_scheduler  # noqa: PLC0415
    from tinyworld.vocabulary import clip_tokenizer  # noqa: PLC0415

    device, dtype = checked_device(config.device), DTYPES[config.dtype]
    torch.manual_seed(0)
    vae = _random_vae(sizes)
    tokenizer = clip_tokenizer()
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=sizes.text_channels,
            intermediate_size=sizes.text_channels,
            num_hidden_layers=1,
            num_attention_heads=4,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    for module in (vae, text_encoder):
        module.requires_grad_(False).eval()  # noqa: FBT003
        # Not diffusers' own to(), which warns of casts that matter to trained weights only.
        torch.nn.Module.to(module, device=device, dtype=dtype)
    vae.to(memory_format=torch.channels_last)
    return BaseModel(
        unet=_random_unet(sizes, config, tuned),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        scheduler=noise_scheduler(),
        device=device,
        dtype=dtype,
        config=config,
        identity="random",
        initial={},
    )


def _random_vae(sizes: Sizes) -> AutoencoderKL:
    from diffusers import AutoencoderKL  # noqa: PLC0415

    blocks = len(sizes.vae_channels)
    return AutoencoderKL(
        block_out_channels=sizes.vae_channels,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        layers_per_block=2,
        norm_num_groups=min(sizes.norm_groups, *sizes.vae_channels),
    )


def _random_unet(sizes: Sizes, config: ModelConfig, tuned: TunedSet) -> ClipUNet:
    import torch  # noqa: PLC0415

    from tav_model.load import DTYPES, fill_unet  # noqa: PLC0415
    from tav_model.unet import build_unet, tuned_parameters  # noqa: PLC0415

    deep = len(sizes.channels) - 1
    unet = build_unet(
        {
            "in_channels": 4,
            "out_channels": 4,
            "block_out_channels": sizes.channels,
            "layers_per_block": 2,
            "norm_num_groups": sizes.norm_groups,
            "cross_attention_dim": sizes.text_channels,
            "attention_head_dim": sizes.heads,
            "down_block_types": ["CrossAttnDownBlock2D"] * deep + ["DownBlock2D"],
            "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * deep,
        },
        attention_mode=config.attention_mode,
        attention_backend=config.attention_backend,
        tuned=tuned,
    )
    masters = tuned_parameters(unet)
    state = {}
    for name, parameter in unet.named_parameters():
        dtype = torch.float32 if name in masters else DTYPES[config.dtype]
        scale = 1 / math.sqrt(math.prod(parameter.shape[1:])) if parameter.ndim > 1 else 0.0
        value = torch.randn(parameter.shape, dtype=dtype, device=config.device) * scale
        state[name] = value + float("norm" in name and name.endswith("weight"))
    fill_unet(unet, state, device=config.device, dtype=config.dtype)
    if config.compile:
        unet.compile()
    return unet
