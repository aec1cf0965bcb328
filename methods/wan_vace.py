"""VACE on Wan 2.1 (Jiang et al., arXiv 2503.07598): the clip as the condition of a new video.

Without a mask, as here, the whole of every frame may change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from methods.method import Edit, Source
from methods.video_parts import check_equal, number
from methods.video_pipeline import PipelineConfig, pictures
from methods.wan_v2v import WanMethod, check_scales, wan_parts
from tav_model.config import require


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
        return {
            "video": pictures(source.frames),
            "num_frames": len(source.frames),
            "conditioning_scale": self.settings.own.conditioning_scale,
        }
