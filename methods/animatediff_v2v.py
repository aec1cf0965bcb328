"""AnimateDiff (Guo et al., arXiv 2307.04725), video to video, on the run's own base.

A motion adapter's layers along time go into the base's UNet; the clip is noised part of the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from methods.method import Edit, Source
from methods.video_parts import DIFFUSERS_STEM, SizeRule, VideoPart, load_part, number, own_config
from methods.video_pipeline import VideoPipeline, check_sampling, pictures

if TYPE_CHECKING:
    import torch

    from tav_model.base import BaseFiles

_ADAPTER = VideoPart(library="diffusers", kinds=("MotionAdapter",), stem=DIFFUSERS_STEM)
_SCHEDULE = {
    "beta_schedule": "linear",
    "timestep_spacing": "linspace",
    "steps_offset": 1,
    "clip_sample": False,
}
"""What the adapters were trained with, in place of what the base says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnimateDiffV2VConfig:
    """The motion adapter, and how it samples; base, dtype and device are the run's ``model``.

    Raises:
        ValueError: a field is out of range; the message names value, limit and remedy.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    adapter: str = field(
        default="guoyww/animatediff-motion-adapter-v1-5-2", metadata={"model": "adapter_revision"}
    )
    """Folder of a MotionAdapter, or a hub id; for bases of Stable Diffusion 1.x."""
    adapter_revision: str | None = None
    """Branch, tag or commit of a hub id; a folder takes none."""
    strength: float = 0.8
    """Share of the steps that is denoised: small keeps the source, 1 follows the prompt alone."""
    steps: int = 50
    """Denoising steps of the whole schedule, of which ``int(strength * steps)`` are taken."""
    guidance_scale: float = 7.5
    """Weight of the prompt against the negative prompt; 1 is no guidance and half the work."""
    negative_prompt: str = ""
    """What the guidance moves away from."""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_sampling(self)


class AnimateDiffV2V(VideoPipeline):
    """Noises and denoises the clip with the base's UNet and layers along time."""

    Config = AnimateDiffV2VConfig
    section = "animatediff_v2v"

    @override
    def key_parts(self) -> Mapping[str, Any]:
        return {**super().key_parts(), "model": {"dtype": self.settings.model.dtype}}

    @override
    def weights(self) -> Mapping[str, Mapping[str, str]]:
        return {"adapter": {"": DIFFUSERS_STEM}}

    @override
    def check_schedule(self, schedule: Mapping[str, Any]) -> None:
        steps, trained = self.settings.own.steps, schedule["num_train_timesteps"]
        if steps > trained:
            raise ValueError(
                f"{self.section}.steps={steps} is over the {trained} steps that the base was "
                "trained with: use 50"
            )

    @override
    def check_own_models(self) -> None:
        own, model, config = self.settings.own, self.settings.model, self._config()
        where = f"{self.section}.adapter {own.adapter!r}"
        if problem := _ADAPTER.problem(config):
            raise ValueError(f"{where}: config.json {problem}")
        if (channels := config.get("conv_in_channels")) is not None:
            raise ValueError(
                f"{where} has conv_in_channels={channels}, for a picture beside the noise, which "
                "this method has none of: take an adapter without it"
            )
        unet = self._base_config()
        base = unet.get("block_out_channels")
        if (blocks := config.get("block_out_channels")) != base:
            raise ValueError(
                f"{where} is for a UNet of block_out_channels {blocks}, but that of model.base "
                f"{model.base!r} has {base}: take an adapter for this kind of base"
            )
        self.size_rule()

    @property
    @override
    def dtype(self) -> tuple[str, str]:
        return "model.dtype", self.settings.model.dtype

    @override
    def size_rule(self) -> SizeRule:
        return SizeRule(most=number(self._config(), "motion_max_seq_length", 32))

    @override
    def load(self) -> None:
        from diffusers import AnimateDiffVideoToVideoPipeline, DDIMScheduler

        from tav_model.base import find_base
        from tav_model.identity import resolve_model
        from tav_model.load import DTYPES, checked_device
        from tav_model.load_parts import load_text_encoder, load_tokenizer, load_vae
        from tav_model.parts import check_parts
        from tav_model.schedule import schedule_settings

        own, model = self.settings.own, self.settings.model
        device, dtype = checked_device(model.device), DTYPES[model.dtype]
        files = find_base(model)
        check_parts(files.configs())
        self.check_own_models()
        adapter = resolve_model(own.adapter, own.adapter_revision, self.weights()["adapter"])
        schedule = schedule_settings(files.config("scheduler"))
        self._pipeline = AnimateDiffVideoToVideoPipeline(
            vae=load_vae(files, dtype),
            text_encoder=load_text_encoder(files, dtype),
            tokenizer=load_tokenizer(files),
            unet=_load_unet(files, dtype),
            motion_adapter=load_part(adapter, _ADAPTER, "MotionAdapter", model.dtype),
            scheduler=DDIMScheduler(**schedule | _SCHEDULE),
        )
        self._pipeline.set_progress_bar_config(disable=True)
        self.check_negative()
        self._pipeline.to(device)

    @override
    def max_tokens(self) -> int:
        return int(self._pipeline.tokenizer.model_max_length)

    @override
    def arguments(self, source: Source, edit: Edit) -> Mapping[str, Any]:
        return {"video": pictures(source.frames), "strength": self.settings.own.strength}

    def _base_config(self) -> dict[str, Any]:
        from tav_model.base import base_config

        model = self.settings.model
        try:
            return base_config(model, "unet")
        except (OSError, ValueError) as error:
            raise ValueError(f"model.base {model.base!r} has no UNet's config: {error}") from error

    def _config(self) -> dict[str, Any]:
        own = self.settings.own
        where = f"{self.section}.adapter {own.adapter!r}"
        return own_config(where, own.adapter, own.adapter_revision, "config.json")


def _load_unet(files: BaseFiles, dtype: torch.dtype) -> Any:
    """The base's UNet as diffusers has it.

    Raises:
        BaseModelError: a file is missing, damaged or pickled, or its tensors do not fit the config,
            as those of an inflated UNet.
    """
    import torch
    from diffusers import UNet2DConditionModel

    from tav_model.load_parts import check_fit, fitting
    from tav_model.parts import stock_config

    config, state = stock_config(files.config("unet")), files.state("unet")
    with fitting(*files.places("unet")):
        with torch.device("meta"):
            unet = UNet2DConditionModel.from_config(config)
        check_fit(unet, state)
        unet.load_state_dict({n: t.to(dtype) for n, t in state.items()}, assign=True)
    return unet
