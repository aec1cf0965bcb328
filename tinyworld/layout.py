"""Stable Diffusion's folder layout and noise schedule, as every base model here has them."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
"""Names a models folder's own description."""


def noise_scheduler(prediction_type: str = "epsilon") -> Any:
    """Stable Diffusion 1.x's schedule, as a DDIMScheduler."""
    from diffusers import DDIMScheduler  # noqa: PLC0415 - seconds that `--help` need not cost

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )


def write_index(folder: Path) -> None:
    """Write the model_index.json that names the classes of the folder's parts."""
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
    write_json(folder / "model_index.json", index)


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document that a person can read."""
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but the manifest, by relative path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
