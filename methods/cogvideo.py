"""CogVideoX (Yang et al., arXiv 2408.06072) from text alone: the edit's prompt, without the clip.

The paper's comparison is with CogVideo (arXiv 2205.15868), whose living successor this is. Of the
clip only the number of frames and the size are taken over.
"""

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
from methods.video_pipeline import PartsMethod, PipelineConfig

MODEL = "zai-org/CogVideoX-5b"


@dataclass(frozen=True, kw_only=True, slots=True)
class CogVideoConfig(PipelineConfig):
    """See ``PipelineConfig``."""

    base: str = field(default=MODEL, metadata={"model": "revision"})


class CogVideo(PartsMethod):
    """Makes a video of the prompt."""

    Config: ClassVar[type] = CogVideoConfig
    section = "cogvideo"
    pipeline = "CogVideoXPipeline"
    kinds = ("CogVideoXPipeline", "CogVideoXVideoToVideoPipeline")
    parts = MappingProxyType(
        {
            "tokenizer": T5_TOKENIZER,
            "text_encoder": t5_encoder("T5EncoderModel"),
            "transformer": diffusers_model("CogVideoXTransformer3DModel"),
            "vae": diffusers_model("AutoencoderKLCogVideoX"),
            "scheduler": schedulers("CogVideoXDDIMScheduler", "CogVideoXDPMScheduler"),
        }
    )

    @override
    def check_configs(self, configs: Mapping[str, Mapping[str, Any]]) -> None:
        where = self.where
        model, vae, text = (configs[name] for name in ("transformer", "vae", "text_encoder"))
        latents = ("the VAE's latent_channels", number(vae, "latent_channels", 16))
        check_equal(
            where, latents, ("the transformer's in_channels", number(model, "in_channels", 16))
        )
        words = ("the text encoder's d_model", number(text, "d_model", 512))
        width = number(model, "text_embed_dim", 4096)
        check_equal(where, words, ("the transformer's text_embed_dim", width))

    @override
    def size_rule(self) -> SizeRule:
        vae, model = self._config("vae/config.json"), self._config("transformer/config.json")
        time = number(vae, "temporal_compression_ratio", 4)
        blocks = vae.get("block_out_channels")
        factor = 2 ** (len(blocks) - 1) if isinstance(blocks, list) else 8
        # An even number of latent frames comes back as more frames than went in.
        return SizeRule(every=2 * time, side=factor * number(model, "patch_size", 2))

    @override
    def max_tokens(self) -> int:
        return int(self._pipeline.transformer.config.max_text_seq_length)

    @override
    def arguments(self, source: Source, edit: Edit) -> Mapping[str, Any]:
        return {"num_frames": len(source.frames), "max_sequence_length": self.max_tokens()}
