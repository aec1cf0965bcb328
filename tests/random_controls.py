"""Tiny ControlNets and T2I-Adapters of diffusers' own classes with random weights, for a base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.random_models import seeded


def build_controlnet(
    folder: Path, base: Path, *, seed: int, zero: bool = False, **changes: Any
) -> Path:
    """Build a ControlNet for a base in Stable Diffusion's layout whose VAE divides by 8.

    Args:
        folder: Where it is written.
        base: Whose UNet it steers.
        seed: Of the weights. Its output layers, zero where a training begins, are random too.
        zero: Leave the output layers zero.
        changes: Keys of its config.
    """
    import torch
    from diffusers import ControlNetModel

    unet = json.loads((base / "unet/config.json").read_text())
    names = (
        *("in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim"),
        *("attention_head_dim", "norm_num_groups", "down_block_types", "use_linear_projection"),
    )
    config = {name: unet[name] for name in names} | changes
    small: Any = {"conditioning_embedding_out_channels": (8, 8, 16, 16)}
    with seeded(seed):
        net = ControlNetModel(**small, **config)
        outputs = [*net.controlnet_down_blocks, net.controlnet_mid_block]
        for layer in () if zero else outputs:
            torch.nn.init.normal_(layer.weight, std=0.2)
    net.save_pretrained(folder)
    return folder


def build_adapter(
    folder: Path, base: Path, *, seed: int, zero: bool = False, **changes: Any
) -> Path:
    """Build a T2I-Adapter for a base in Stable Diffusion's layout whose VAE divides by 8."""
    import torch
    from diffusers import T2IAdapter

    unet = json.loads((base / "unet/config.json").read_text())
    config: dict[str, Any] = {"in_channels": 3, "num_res_blocks": 1, "downscale_factor": 8}
    with seeded(seed):
        net = T2IAdapter(channels=list(unet["block_out_channels"]), **(config | changes))
    for parameter in net.parameters() if zero else ():
        torch.nn.init.zeros_(parameter)
    net.save_pretrained(folder)
    return folder
