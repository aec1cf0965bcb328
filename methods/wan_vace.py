"""VACE on Wan 2.1 (Jiang et al., arXiv 2503.07598): the clip as the condition of a new video.

Without a mask the whole of every frame may change. With one the object alone is made anew, in its
place, and the rest is what the model is told to keep (the paper's masked video-to-video editing):
its pixels are not copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from typing_extensions import override

from methods.method import Edit, Source
from methods.video_parts import check_equal, number
from methods.video_pipeline import PipelineConfig, pictures
from methods.wan_v2v import WanMethod, check_scales, wan_parts
from tav_model.config import require

_GREY = np.uint8(128)
"""The authors train with 127.5 where there is nothing to see, and give 128 in pictures, as
diffusers' own example does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WanVACEConfig(PipelineConfig):
    """See ``PipelineConfig``."""

    base: str = field(default="Wan-AI/Wan2.1-VACE-1.3B-diffusers", metadata={"model": "revision"})
    guidance_scale: float = 5.0
    conditioning_scale: float = 1.0
    """Weight of the clip as a condition; 0 leaves the prompt alone."""

    def __post_init__(self) -> None:
        """Check ranges."""
        PipelineConfig.__post_init__(self)
        scale = self.conditioning_scale
        require(0 <= scale < float("inf"), "conditioning_scale", scale, ">= 0 and finite", "Use 1.")


class WanVACE(WanMethod):
    """Makes a video of the prompt under the clip's condition."""

    Config = WanVACEConfig
    uses_mask = True
    section = "wan_vace"
    pipeline = "WanVACEPipeline"
    kinds = ("WanVACEPipeline",)
    parts = wan_parts("WanVACETransformer3DModel")

    @override
    def check_configs(self, configs: Mapping[str, Mapping[str, Any]]) -> None:
        super().check_configs(configs)
        where = self.where
        vae = configs["vae"]
        check_scales(where, vae)
        # Latents of what stays and of what may change, and the mask, each pixel a channel.
        asked = 2 * number(vae, "z_dim", 16) + number(vae, "scale_factor_spatial", 8) ** 2
        given = number(configs["transformer"], "vace_in_channels", 96)
        check_equal(where, ("the transformer's vace_in_channels", given), ("the VAE", asked))

    @override
    def arguments(self, source: Source, edit: Edit) -> Mapping[str, Any]:
        frames, mask = source.frames, source.mask
        conditions = {"video": pictures(frames)}
        if mask is not None:
            # What is to be made anew is grey in the clip, and white in the mask.
            kept = np.where(mask[..., None], _GREY, frames)
            conditions = {"video": pictures(kept), "mask": pictures(mask.astype(np.uint8) * 255)}
        return {
            **conditions,
            "num_frames": len(frames),
            "conditioning_scale": self.settings.own.conditioning_scale,
        }
