"""Tiny ControlNets and T2I-Adapters of diffusers' own classes with random weights, for a base.

And SAM 2, likewise, of transformers'.
"""

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


def build_sam2(folder: Path) -> Path:
    """A tiny SAM 2 of transformers' own classes with random weights."""
    import transformers
    from transformers import (
        Sam2HieraDetConfig,
        Sam2ImageProcessor,
        Sam2VideoConfig,
        Sam2VideoModel,
        Sam2VideoProcessor,
        Sam2VisionConfig,
    )

    backbone = Sam2HieraDetConfig(
        hidden_size=8,
        image_size=[128, 128],
        patch_kernel_size=[7, 7],
        patch_stride=[4, 4],
        patch_padding=[3, 3],
        blocks_per_stage=[1, 2, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[8, 4, 16, 8],
        global_attention_blocks=[4],
        window_positional_embedding_background_size=[7, 7],
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[64, 32, 16, 8],
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
        fpn_hidden_size=128,
    )
    with seeded(5):
        config = Sam2VideoConfig(
            vision_config=vision,
            prompt_encoder_config={"hidden_size": 128, "image_size": 128, "mask_input_channels": 4},
            mask_decoder_config={
                "hidden_size": 128,
                "mlp_dim": 16,
                "num_attention_heads": 2,
                "iou_head_hidden_dim": 16,
            },
            image_size=128,
            memory_attention_hidden_size=128,
            memory_attention_feed_forward_hidden_size=16,
            memory_attention_num_layers=1,
            memory_attention_rope_feat_sizes=[8, 8],
            memory_encoder_hidden_size=128,
            memory_encoder_output_channels=64,
            mask_downsampler_embed_dim=128,
            memory_fuser_embed_dim=128,
            memory_fuser_intermediate_dim=16,
            memory_fuser_num_layers=1,
        )
        model = Sam2VideoModel(config)
    model.save_pretrained(folder)
    pictures = Sam2ImageProcessor(
        size={"height": 128, "width": 128}, mask_size={"height": 32, "width": 32}
    )
    videos = transformers.Sam2VideoVideoProcessor(size={"height": 128, "width": 128})
    Sam2VideoProcessor(
        image_processor=pictures, video_processor=videos, target_size=128
    ).save_pretrained(folder)
    return folder
