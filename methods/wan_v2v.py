"""Wan 2.1 (arXiv 2503.20314), video to video: the clip noised part of the way, as SDEdit does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

from typing_extensions import override

from methods.method import Edit, Source
from methods.video_parts import (
    T5_TOKENIZER,
    SizeRule,
    check_equal,
    diffusers_model,
    number,
    schedulers,
    t5_encoder,
)
from methods.video_pipeline import PartsMethod, PipelineConfig, pictures

_TOKENS = 512
"""What Wan's text encoder is given; its tokenizer knows no limit."""
_SIDE = 16
"""The pipelines refuse sides that are no multiple of it, whatever the parts say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WanV2VConfig(PipelineConfig):
    """See ``PipelineConfig``."""

    base: str = field(default="Wan-AI/Wan2.1-T2V-1.3B-Diffusers", metadata={"model": "revision"})
    guidance_scale: float = 5.0
    strength: float = 0.8
    """Share of the steps that is denoised: small keeps the source, 1 follows the prompt alone."""


def wan_parts(transformer: str) -> Mapping[str, Any]:
    """What a Wan model consists of; its VAE is held in fp32."""
    return MappingProxyType(
        {
            "tokenizer": T5_TOKENIZER,
            "text_encoder": t5_encoder("UMT5EncoderModel"),
            "transformer": diffusers_model(transformer),
            "vae": diffusers_model("AutoencoderKLWan", fp32=True),
            "scheduler": schedulers("UniPCMultistepScheduler", "FlowMatchEulerDiscreteScheduler"),
        }
    )


class WanMethod(PartsMethod):
    """A pipeline on Wan's parts."""

    conditions: ClassVar[int] = 0
    """Latents of the clip that the transformer is given beside those that are denoised."""

    @override
    def check_configs(self, configs: Mapping[str, Mapping[str, Any]]) -> None:
        where = self.where
        model, vae, text = (configs[name] for name in ("transformer", "vae", "text_encoder"))
        depth = number(vae, "z_dim", 16)
        asked = (1 + self.conditions) * depth
        given = ("the transformer's in_channels", number(model, "in_channels", 16))
        check_equal(where, given, (f"a VAE of z_dim {depth}", asked))
        made = ("the transformer's out_channels", number(model, "out_channels", 16))
        check_equal(where, made, ("the VAE's z_dim", depth))
        words = ("the text encoder's d_model", number(text, "d_model", 512))
        check_equal(where, words, ("the transformer's text_dim", number(model, "text_dim", 4096)))

    @override
    def size_rule(self) -> SizeRule:
        vae, model = self._config("vae/config.json"), self._config("transformer/config.json")
        patch = model.get("patch_size", [1, 2, 2])
        if not isinstance(patch, list) or len(patch) != 3:  # noqa: PLR2004
            raise ValueError(f"the transformer's patch_size is {patch!r}, but must be 3 numbers")
        patches = [number({"patch_size": one}, "patch_size", 1) for one in patch]
        side = number(vae, "scale_factor_spatial", 8) * max(patches[1:])
        every = number(vae, "scale_factor_temporal", 4) * patches[0]
        return SizeRule(every=every, side=max(side, _SIDE))

    @override
    def max_tokens(self) -> int:
        return _TOKENS


def check_scales(where: str, vae: Mapping[str, Any]) -> None:
    """Refuse VAEs whose scale these pipelines take for another one.

    Raises:
        ValueError: the VAE is not Wan 2.1's, as that of Wan 2.2 5B.
    """
    halvings = vae.get("temperal_downsample", [False, True, True])
    given = number(vae, "scale_factor_spatial", 8)
    taken = 2 ** len(halvings) if isinstance(halvings, list) else 0
    if given != taken:
        raise ValueError(
            f"{where}: the VAE makes one latent of {given}x{given} pixels, which the pipeline "
            f"takes for {taken}x{taken}: use a model with Wan 2.1's VAE"
        )


class WanV2V(WanMethod):
    """Noises and denoises the clip."""

    Config = WanV2VConfig
    section = "wan_v2v"
    pipeline = "WanVideoToVideoPipeline"
    kinds = ("WanPipeline", "WanVideoToVideoPipeline")
    parts = wan_parts("WanTransformer3DModel")

    @override
    def check_configs(self, configs: Mapping[str, Mapping[str, Any]]) -> None:
        super().check_configs(configs)
        check_scales(self.where, configs["vae"])

    @override
    def arguments(self, source: Source, edit: Edit) -> Mapping[str, Any]:
        video = pictures(source.frames)
        return {"video": video, "strength": self.settings.own.strength}
