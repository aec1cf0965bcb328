"""The text-to-image diffusion model: UNet and text encoder, trained together on latents.

Stable Diffusion's recipe in small: its noise schedule, epsilon prediction, one caption in ten left
out for classifier-free guidance. Only the text encoder is trained along, having nothing to start
from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tinyworld.layout import noise_scheduler, write_index
from tinyworld.train.data import Stills, said
from tinyworld.train.loop import Settings, Step, fit
from tinyworld.train.noising import Noising
from tinyworld.vocabulary import clip_tokenizer

TEXT_LENGTH = 32
"""Tokens of a prompt; the longest caption takes 17."""
_WIDTH = 96
_DROPPED = 0.1
"""Captions left out."""


class TextToImage(nn.Module):
    """UNet and text encoder as one module, so that one optimiser trains both."""

    def __init__(self, tokenizer: Any) -> None:
        """Build both without weights that mean anything.

        Args:
            tokenizer: gives the vocabulary's size and its special tokens.
        """
        from diffusers import UNet2DConditionModel  # noqa: PLC0415 - seconds others need not pay
        from transformers import CLIPTextConfig, CLIPTextModel  # noqa: PLC0415

        super().__init__()
        self.unet = UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(64, 128, 192),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=_WIDTH,
            attention_head_dim=4,
            norm_num_groups=16,
        )
        self.text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=_WIDTH,
                projection_dim=_WIDTH,
                intermediate_size=4 * _WIDTH,
                num_hidden_layers=3,
                num_attention_heads=4,
                max_position_embeddings=TEXT_LENGTH,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
                initializer_factor=8.0,  # at 1 so narrow a model hardly tells prompts apart
            )
        )


def train_diffusion(
    vae: Any, data: Stills, settings: Settings, folder: Path, device: torch.device
) -> TextToImage:
    """Train UNet and text encoder on the latents of stills and their captions.

    Args:
        vae: the trained autoencoder.
        data: the stills.
        settings: of the training.
        folder: for checkpoint, log and the latents.
        device: where to train.

    Returns:
        Both, with their averaged weights.
    """
    torch.manual_seed(settings.seed)
    tokenizer = clip_tokenizer(max_length=TEXT_LENGTH)
    model = TextToImage(tokenizer).to(device)
    model.unet.to(memory_format=torch.channels_last)
    noising = Noising(vae, data, folder, device)

    def loss(step: Step) -> Tensor:
        index = torch.randint(len(data), (step.batch,), generator=step.generator)
        noised = noising(index, step.generator)
        ids = tokens(data, index, tokenizer, step, dropped=_DROPPED)
        text = model.text_encoder(ids.to(device))
        return noising.loss(model.unet(noised.latents, noised.times, text[0]).sample, noised)

    fit("diffusion", model, loss, settings, folder, device)
    return model


def tokens(data: Stills, index: Tensor, tokenizer: Any, step: Step, *, dropped: float) -> Tensor:
    """Captions of stills, said in several ways.

    Args:
        data: all stills.
        index: (B,) which they are.
        tokenizer: the base's.
        step: what it draws from.
        dropped: share of the captions that is left out.

    Returns:
        (B, L) token ids.
    """
    rng = step.rng()
    captions = ["" if rng.uniform() < dropped else said(data.scene(i), rng) for i in index.tolist()]
    out = tokenizer(captions, padding="max_length", max_length=TEXT_LENGTH, return_tensors="pt")
    ids: Tensor = out.input_ids
    return ids


def save_base(model: TextToImage, folder: Path) -> None:
    """Write Stable Diffusion's folder layout in fp16, but for the VAE, which is there already.

    Args:
        model: the trained UNet and text encoder; they are fp16 afterwards.
        folder: of the base model.
    """
    model.unet.half().save_pretrained(folder / "unet")
    model.text_encoder.half().save_pretrained(folder / "text_encoder")
    clip_tokenizer(max_length=TEXT_LENGTH).save_pretrained(folder / "tokenizer")
    noise_scheduler().save_pretrained(folder / "scheduler")
    write_index(folder)
