"""CogVideoX (arXiv 2408.06072), video to video: the clip noised part of the way, as SDEdit does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from methods.cogvideo import MODEL, CogVideo
from methods.method import Edit, Source
from methods.video_pipeline import PipelineConfig, pictures


@dataclass(frozen=True, kw_only=True, slots=True)
class CogVideoXV2VConfig(PipelineConfig):
    """See ``PipelineConfig``."""

    base: str = field(default=MODEL, metadata={"model": "revision"})
    strength: float = 0.8
    """Share of the steps that is denoised: small keeps the source, 1 follows the prompt alone."""


class CogVideoXV2V(CogVideo):
    """Noises and denoises the clip."""

    Config = CogVideoXV2VConfig
    section = "cogvideox_v2v"
    pipeline = "CogVideoXVideoToVideoPipeline"

    @override
    def check_configs(self, configs: Mapping[str, Mapping[str, Any]]) -> None:
        super().check_configs(configs)
        if (patch := configs["transformer"].get("patch_size_t")) is not None:
            raise ValueError(
                f"{self.where} is a CogVideoX 1.5 "
                f"(patch_size_t={patch}): it takes an even number of latent frames, of which the "
                f"VAE makes more frames than the clip has. Use {MODEL}, or cogvideo from text"
            )

    @override
    def arguments(self, source: Source, edit: Edit) -> Mapping[str, Any]:
        return {
            "video": pictures(source.frames),
            "strength": self.settings.own.strength,
            "max_sequence_length": self.max_tokens(),
        }
