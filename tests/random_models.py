"""Tiny models of real classes with random weights, built offline in seconds.

They run every code path of Stable Diffusion, BLIP-2 and CLIP, in shapes that the trained tiny world
does not have (77 tokens, v-prediction, linear projections). What they compute means nothing. Equal
seeds give equal weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tinyworld.layout import noise_scheduler, write_index, write_json
from tinyworld.vocabulary import WORDS, clip_tokenizer, opt_tokenizer

TEXT_WIDTH = 32
"""Width of the text embeddings that the UNet attends to."""
IMAGE_TOKENS = 4
"""Tokens that BLIP-2's language model sees of an image (32 in the published models)."""


def build_all(folder: Path, *, seed: int = 0) -> None:
    """Build ``base/``, ``blip2/`` and ``clip/``."""
    build_base_model(folder / "base", seed=seed)
    build_blip2(folder / "blip2", seed=seed)
    build_clip(folder / "clip", seed=seed)


def build_base_model(
    folder: Path,
    *,
    seed: int = 0,
    prediction_type: str = "epsilon",
    unet_config: Mapping[str, Any] | None = None,
) -> Path:
    """Build a folder in Stable Diffusion's layout, with SD 1.4's block types and schedule.

    Args:
        folder: Where the components are written; created if absent.
        seed: Of the weights; UNet, VAE and text encoder use three in a row.
        prediction_type: What the UNet predicts: ``epsilon`` or ``v_prediction``.
        unet_config: Keys of UNet2DConditionModel's config that replace the defaults here.

    Returns:
        The folder. The VAE divides height and width by 8 and has 4 latent channels; the text
        encoder takes 77 tokens; ``attention_head_dim`` is the number of heads, as in SD 1.4.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel

    unet: dict[str, Any] = {
        "sample_size": 8,
        "block_out_channels": (16, 32, 32, 32),
        "layers_per_block": 1,
        "cross_attention_dim": TEXT_WIDTH,
        "attention_head_dim": 4,
        "norm_num_groups": 8,
        **(unet_config or {}),
    }
    with seeded(seed):
        UNet2DConditionModel(**unet).save_pretrained(folder / "unet")
    with seeded(seed + 1):
        AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(8, 8, 16, 16),
            layers_per_block=1,
            norm_num_groups=4,
            sample_size=64,
        ).save_pretrained(folder / "vae")
    with seeded(seed + 2):
        _write_text_encoder(folder)
    noise_scheduler(prediction_type).save_pretrained(folder / "scheduler")
    write_index(folder)
    return folder


def _write_text_encoder(folder: Path) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = clip_tokenizer()
    tokenizer.save_pretrained(folder / "tokenizer")
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        # At CLIP's own factor of 1 so small a model hardly tells one prompt from another.
        initializer_factor=8.0,
    )
    CLIPTextModel(config).save_pretrained(folder / "text_encoder")


def build_blip2(folder: Path, *, seed: int = 0) -> Path:
    """Build a Blip2ForConditionalGeneration (OPT kind) and its processor; captions are words.

    Args:
        folder: Where model and processor are written; created if absent.
        seed: Of all weights.

    Returns:
        The folder. Images are 28×28 pixels and become ``IMAGE_TOKENS`` tokens.
    """
    import torch
    from transformers import Blip2Config, Blip2ForConditionalGeneration

    tokenizer = opt_tokenizer()
    newline = tokenizer("\n", add_special_tokens=False).input_ids[0]  # where LAVIS stops
    image_token = _write_blip2_processor(folder, tokenizer)
    # Published widths with published scales would need 3 GB; at these widths they give one caption
    # for all images (the vision model's default is 1e-10), hence the larger initial weights.
    loud = {"initializer_range": 0.3}
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = Blip2Config(
        vision_config={**size, **loud, "intermediate_size": 64, "image_size": 28, "patch_size": 14},
        qformer_config={**size, **loud, "intermediate_size": 64, "vocab_size": 64},
        text_config={
            **size,
            "model_type": "opt",
            "vocab_size": len(tokenizer),
            "ffn_dim": 64,
            "word_embed_proj_dim": 32,
            "max_position_embeddings": 128,
            "init_std": 0.4,
            "bos_token_id": tokenizer.bos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": newline,
        },
        num_query_tokens=IMAGE_TOKENS,
        image_token_index=image_token,
        **loud,
    )
    with seeded(seed):
        model = Blip2ForConditionalGeneration(config)
        with torch.no_grad():
            model.query_tokens.normal_(0, 0.5)  # zeros otherwise
            # A zero row scores 0: whole words win, so a caption is text and no broken bytes.
            words = tokenizer.convert_tokens_to_ids([f"Ġ{word}" for word in WORDS])
            rows = model.get_input_embeddings().weight
            quiet = torch.ones(len(rows), dtype=torch.bool)
            quiet[[*words, tokenizer.bos_token_id]] = False
            rows[quiet] = 0.0
    model.save_pretrained(folder)
    return folder


def _write_blip2_processor(folder: Path, tokenizer: Any) -> int:
    """Write the processor, which adds ``<image>`` to the tokenizer, and return that token's id."""
    from transformers import Blip2Processor
    from transformers.models.blip.image_processing_blip import BlipImageProcessor

    images = BlipImageProcessor(size={"height": 28, "width": 28})
    Blip2Processor(images, tokenizer, num_query_tokens=IMAGE_TOKENS).save_pretrained(folder)
    return int(tokenizer.convert_tokens_to_ids("<image>"))


def build_clip(folder: Path, *, seed: int = 0) -> Path:
    """Build an open_clip model folder (``local-dir:<folder>``) with CLIP's own tokenizer.

    Args:
        folder: Where config and weights are written; created if absent.
        seed: Of all weights.

    Returns:
        The folder. Images are 32×32 pixels, texts 77 tokens, embeddings 32 numbers.
    """
    import open_clip
    from safetensors.torch import save_file

    tower = {"width": 32, "layers": 2}
    model_config: dict[str, Any] = {
        "embed_dim": 32,
        "vision_cfg": {**tower, "image_size": 32, "patch_size": 8, "head_width": 16},
        "text_cfg": {**tower, "context_length": 77, "vocab_size": 49408, "heads": 2},
    }
    with seeded(seed):
        model = open_clip.CLIP(**model_config)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    pixels = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    document = {"model_cfg": model_config, "preprocess_cfg": pixels}
    write_json(folder / "open_clip_config.json", document)
    return folder


def build_judges(folder: Path, *, seed: int = 0) -> Path:
    """Build ``clip/`` (a transformers CLIPModel with its processor) and ``dinov2/``.

    Images are 32 and 28 pixels, texts 77 tokens, embeddings 32 numbers, 16 after CLIP's projection.
    """
    from transformers import (
        BitImageProcessorPil,
        CLIPConfig,
        CLIPImageProcessorPil,
        CLIPModel,
        Dinov2Config,
        Dinov2Model,
    )

    tokenizer = clip_tokenizer()
    tower = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "projection_dim": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    marks = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = CLIPConfig(
        text_config={**tower, **marks, "vocab_size": len(tokenizer)},
        vision_config={**tower, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    with seeded(seed):
        CLIPModel(config).save_pretrained(folder / "clip")
        dino = Dinov2Config(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
        )
        Dinov2Model(dino).save_pretrained(folder / "dinov2")
    tokenizer.save_pretrained(folder / "clip")
    square = {"height": 32, "width": 32}
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=square).save_pretrained(
        folder / "clip"
    )
    square = {"height": 28, "width": 28}
    BitImageProcessorPil(size={"shortest_edge": 28}, crop_size=square).save_pretrained(
        folder / "dinov2"
    )
    return folder


def build_vit(folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """Build a transformers ViTModel without a pooler, as DINO's: 224 pixels, patches of 16."""
    from transformers import ViTConfig, ViTModel

    tower = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "patch_size": 16,
    }
    with seeded(seed):
        ViTModel(ViTConfig(**tower | changes), add_pooling_layer=False).save_pretrained(folder)
    return folder


def build_lpips(folder: Path, *, seed: int = 0) -> Path:
    """Build torchmetrics' LPIPS on SqueezeNet, whose linear heads are positive as trained ones."""
    import torch
    from safetensors.torch import save_model
    from torchmetrics.functional.image.lpips import _LPIPS

    folder.mkdir(parents=True)
    with seeded(seed), torch.no_grad():
        net: Any = _LPIPS(pretrained=False, pnet_rand=True, net="squeeze")
        for head in net.lins:
            head.model[1].weight.abs_()
    save_model(net, str(folder / "model.safetensors"))
    return folder


def build_raft(folder: Path, *, seed: int = 0) -> Path:
    """Build torchvision's raft_large, whose flows are under a pixel."""
    import torch
    from safetensors.torch import save_model
    from torchvision.models.optical_flow import raft_large

    folder.mkdir(parents=True)
    with seeded(seed), torch.no_grad():
        net: Any = raft_large(weights=None, progress=False)
        net.update_block.flow_head.conv2.weight.mul_(0.05)
        net.update_block.flow_head.conv2.bias.mul_(0.05)
    save_model(net, str(folder / "model.safetensors"))
    return folder


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's CPU generator, which the models' initialisers draw from, and restore it."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
