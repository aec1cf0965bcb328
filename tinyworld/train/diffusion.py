"""The text-to-image diffusion model: UNet and text encoder, trained together on latents.

Stable Diffusion's recipe in small: its noise schedule, epsilon prediction, one caption in ten left
out for classifier-free guidance. Only the text encoder is trained along, having nothing to start
from.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tinyworld.layout import noise_scheduler, write_index
from tinyworld.train.data import Stills, said
from tinyworld.train.loop import Settings, Step, fit, world
from tinyworld.train.vae import encode
from tinyworld.vocabulary import clip_tokenizer

TEXT_LENGTH = 32
"""Tokens of a prompt; the longest caption takes 17."""
_WIDTH = 96
_DROPPED = 0.1
"""Captions left out."""
_SNR_LIMIT = 20.0
"""Signal-to-noise ratio above which a step's loss counts less (arXiv 2303.09556)."""


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
    means, deviations = _latents(vae, data, folder, device)
    scale = float(vae.config.scaling_factor)
    signal = noise_scheduler().alphas_cumprod
    weight = (_SNR_LIMIT * (1 - signal) / signal).clamp(max=1.0)

    def loss(step: Step) -> Tensor:
        g = step.generator
        index = torch.randint(len(data), (step.batch,), generator=g)
        mean, deviation = (torch.from_numpy(x[index.numpy()]).float() for x in (means, deviations))
        clean = scale * (mean + deviation * torch.randn(mean.shape, generator=g))
        noise = torch.randn(mean.shape, generator=g)
        t = torch.randint(len(signal), (step.batch,), generator=g)
        a = signal[t][:, None, None, None]
        noisy = (a.sqrt() * clean + (1 - a).sqrt() * noise).to(device)
        text = model.text_encoder(_tokens(data, index, tokenizer, step).to(device))
        out = model.unet(
            noisy.contiguous(memory_format=torch.channels_last), t.to(device), text[0]
        ).sample
        error = ((out.float() - noise.to(device)) ** 2).mean(dim=(1, 2, 3))
        weighted: Tensor = weight[t].to(device) * error
        return weighted.mean()

    fit("diffusion", model, loss, settings, folder, device)
    return model


def _tokens(data: Stills, index: Tensor, tokenizer: Any, step: Step) -> Tensor:
    """Captions of stills, said in several ways, some left out: (B, L) token ids."""
    rng = step.rng()
    captions = [
        "" if rng.uniform() < _DROPPED else said(data.scene(i), rng) for i in index.tolist()
    ]
    out = tokenizer(captions, padding="max_length", max_length=TEXT_LENGTH, return_tensors="pt")
    ids: Tensor = out.input_ids
    return ids


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
