"""Tiny models of real classes with random weights, built offline.

``python -m tinyworld.random_weights OUT`` writes them. They run every code path of Stable
Diffusion, BLIP-2 and CLIP within seconds on a CPU. What they compute means nothing. Equal seeds
give equal bytes.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.metadata
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tinyworld.vocabulary import WORDS, clip_tokenizer, opt_tokenizer

RECIPE = 2
"""Raised whenever this module builds other weights from equal seeds."""
MANIFEST = "manifest.json"
TEXT_WIDTH = 32
"""Width of the text embeddings that the UNet attends to."""
IMAGE_TOKENS = 4
"""Tokens that BLIP-2's language model sees of an image (32 in the published models)."""

_LIBRARIES = ("torch", "diffusers", "transformers", "open_clip_torch", "safetensors")


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
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel  # noqa: PLC0415

    unet: dict[str, Any] = {
        "sample_size": 8,
        "block_out_channels": (16, 32, 32, 32),
        "layers_per_block": 1,
        "cross_attention_dim": TEXT_WIDTH,
        "attention_head_dim": 4,
        "norm_num_groups": 8,
        **(unet_config or {}),
    }
    with _seeded(seed):
        UNet2DConditionModel(**unet).save_pretrained(folder / "unet")
    with _seeded(seed + 1):
        AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(8, 8, 16, 16),
            layers_per_block=1,
            norm_num_groups=4,
            sample_size=64,
        ).save_pretrained(folder / "vae")
    with _seeded(seed + 2):
        _write_text_encoder(folder)
    DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    ).save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": importlib.metadata.version("diffusers"),
        **{name: [None, None] for name in ("feature_extractor", "safety_checker")},
        "requires_safety_checker": False,
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    _write_json(folder / "model_index.json", index)
    return folder


def _write_text_encoder(folder: Path) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel  # noqa: PLC0415

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
    import torch  # noqa: PLC0415
    from transformers import Blip2Config, Blip2ForConditionalGeneration  # noqa: PLC0415

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
    with _seeded(seed):
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
    from transformers import Blip2Processor  # noqa: PLC0415
    from transformers.models.blip.image_processing_blip import BlipImageProcessor  # noqa: PLC0415

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
    import open_clip  # noqa: PLC0415
    from safetensors.torch import save_file  # noqa: PLC0415

    tower = {"width": 32, "layers": 2}
    model_config: dict[str, Any] = {
        "embed_dim": 32,
        "vision_cfg": {**tower, "image_size": 32, "patch_size": 8, "head_width": 16},
        "text_cfg": {**tower, "context_length": 77, "vocab_size": 49408, "heads": 2},
    }
    with _seeded(seed):
        model = open_clip.CLIP(**model_config)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    pixels = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    document = {"model_cfg": model_config, "preprocess_cfg": pixels}
    _write_json(folder / "open_clip_config.json", document)
    return folder


def build_all(folder: Path, *, seed: int = 0) -> dict[str, Any]:
    """Build ``base/``, ``blip2/`` and ``clip/``; a complete folder is left as it is.

    The folder appears whole or not at all, with a manifest of seed, versions and every file's
    SHA-256.

    Returns:
        The manifest.

    Raises:
        FileExistsError: the folder holds something that this command did not write.
    """
    wanted = {
        "about": "random weights: what these models compute means nothing",
        "command": f"python -m tinyworld.random_weights OUT --seed {seed}",
        "recipe": RECIPE,
        "seed": seed,
        "versions": {name: importlib.metadata.version(name) for name in _LIBRARIES},
    }
    manifest = _read_manifest(folder)
    if manifest is None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(
            f"{folder} holds no {MANIFEST} of tinyworld.random_weights: give a new or empty folder"
        )
    if manifest == wanted | {"files": _digests(folder)}:
        return manifest
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        new = Path(scratch, "new")
        build_base_model(new / "base", seed=seed)
        build_blip2(new / "blip2", seed=seed)
        build_clip(new / "clip", seed=seed)
        built = wanted | {"files": _digests(new)}
        _write_json(new / MANIFEST, built)
        if folder.exists():
            folder.replace(Path(scratch, "old"))
        new.replace(folder)
    return built


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's CPU generator, which the models' initialisers draw from, and restore it."""
    import torch  # noqa: PLC0415 - 5 s that a folder already complete need not cost

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    try:
        document = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) and "recipe" in document else None


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but the manifest, by relative path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Build all three models and say where they are."""
    parser = argparse.ArgumentParser(description=build_all.__doc__)
    parser.add_argument("out", type=Path, help="folder for base/, blip2/ and clip/")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    manifest = build_all(options.out, seed=options.seed)
    print(f"{options.out}: {len(manifest['files'])} files of random-weight models")


if __name__ == "__main__":
    main()
