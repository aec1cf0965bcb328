"""The configs of Stable Diffusion 1.4's parts, as far as its sizes go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

UNET: dict[str, Any] = {
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}
VAE: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
}
TEXT: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "vocab_size": 49408,
    "max_position_embeddings": 77,
}
SCHEDULER: dict[str, Any] = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.7.0.dev0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
    "clip_sample": False,
}


def write_configs(folder: Path) -> Path:
    """A base model's folder without weights: enough to plan with."""
    configs = {
        "unet/config.json": UNET,
        "vae/config.json": VAE,
        "text_encoder/config.json": TEXT,
        "scheduler/scheduler_config.json": SCHEDULER,
        "tokenizer/tokenizer_config.json": {"model_max_length": 77},
    }
    for name, config in configs.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(json.dumps(config), encoding="utf-8")
    return folder
