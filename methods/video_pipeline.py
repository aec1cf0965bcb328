"""What the methods that are pipelines of diffusers have in common: one model of several parts.

The model is the method's own, pinned by content or commit. Its parts are loaded one by one, each as
the class that the method names and from safetensors alone: a folder's ``model_index.json`` is
checked, never followed, for diffusers would import whatever module it names.
"""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from typing_extensions import override

from methods.method import ClipSize, Edit, Frames, Method, Prepared, Source
from methods.video_parts import (
    SizeRule,
    VideoPart,
    check_index,
    load_part,
    load_tokenizer,
    own_config,
)
from tav_model.config import MAX_STEPS, DTypeName, SampleConfig, require

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

logger = logging.getLogger(__name__)

_DTYPES = ("fp32", "bf16", "fp16")
_OFFLOADS = ("none", "model", "sequential")
_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
_LOG_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineConfig:
    """The model, how it is held, and how it samples.

    Raises:
        ValueError: a field is out of range; the message names value, limit and remedy.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    base: str = field(metadata={"model": "revision"})
    """Folder in the diffusers layout, or a hub id such as ``owner/name``."""
    revision: str | None = None
    """Branch, tag or commit of a hub id; a folder takes none."""
    dtype: DTypeName = "bf16"
    """Compute precision."""
    offload: Literal["none", "model", "sequential"] = field(default="none", metadata={"key": False})
    """What waits in the machine's memory while it is not computed with: nothing, whole parts, or
    single layers, which is slow. Takes a GPU."""
    vae_tiling: bool = False
    """Encode and decode in overlapping tiles: less memory, and seams may show."""
    steps: int = 50
    """Denoising steps of the whole schedule."""
    guidance_scale: float = 6.0
    """Weight of the prompt against the negative prompt; 1 is no guidance and half the work."""
    negative_prompt: str = ""
    """What the guidance moves away from."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(bool(self.base), "base", self.base, "a folder or a hub id", "Name a model.")
        check_sampling(self)
        for name, known in (("dtype", _DTYPES), ("offload", _OFFLOADS)):
            value = getattr(self, name)
            require(value in known, name, value, f"one of {known}", f"Use {known[0]}.")


def check_sampling(own: Any) -> None:
    """Check ``steps``, ``guidance_scale`` and, where there is one, ``strength``.

    Raises:
        ValueError: a field is out of range; the message names value, limit and remedy.
    """
    require(1 <= own.steps <= MAX_STEPS, "steps", own.steps, f"1 .. {MAX_STEPS}", "Use 50.")
    SampleConfig(guidance_scale=own.guidance_scale)
    if hasattr(own, "strength"):
        least = 1 / own.steps
        require(
            least <= own.strength <= 1 and int(own.strength * own.steps) >= 1,
            "strength",
            own.strength,
            f"1 / steps = {least:.3g} .. 1",
            "With less not one step is left: use method identity for the source itself.",
        )


class VideoPipeline(Method):
    """A method that is one call of a diffusers pipeline for each edit, however it is loaded."""

    section: ClassVar[str]
    """What a configuration calls the method's own settings."""

    _pipeline: Any

    @property
    @abstractmethod
    def dtype(self) -> tuple[str, str]:
        """The setting that gives the precision, and what it is."""

    @abstractmethod
    def size_rule(self) -> SizeRule:
        """The clips that the model takes. Reads configs alone.

        Raises:
            ValueError, OSError: a config is missing or says nonsense.
        """

    @abstractmethod
    def max_tokens(self) -> int:
        """Tokens that the text encoder reads, of the loaded model."""

    @abstractmethod
    def arguments(self, source: Source, edit: Edit) -> Mapping[str, Any]:
        """What the pipeline is called with, beside prompts, steps, guidance and draws."""

    @override
    def nearest(self, size: ClipSize) -> ClipSize:
        return self.size_rule().nearest(size)

    @override
    def check_prompt(self, prompt: str) -> None:
        from tav_model.text import check_prompt

        check_prompt(self._pipeline.tokenizer, prompt, limit=self.max_tokens())

    def check_negative(self) -> None:
        """Refuse a negative prompt that the text encoder cannot read whole.

        Raises:
            ValueError: says why.
        """
        from tav_model.text import check_settings

        texts = {f"{self.section}.negative_prompt": self.settings.own.negative_prompt}
        check_settings(self._pipeline.tokenizer, texts, limit=self.max_tokens())

    @override
    def edit(self, source: Source, edits: Sequence[Edit], prepared: Prepared) -> Iterator[Frames]:
        import torch

        from tav_model.errors import NonFiniteError
        from tav_model.frames import to_uint8

        for edit in edits:
            video = self._call(source, edit)
            if not bool(torch.isfinite(video).all()):
                setting, dtype = self.dtype
                other = {"fp16": f"set {setting} to bf16", "bf16": f"set {setting} to fp32"}
                remedy = other.get(dtype, "copy or download the model again, or lower the guidance")
                raise NonFiniteError(f"{self.section} gave NaN or infinity in {dtype}: {remedy}")
            yield to_uint8(video)

    def _call(self, source: Source, edit: Edit) -> Tensor:
        """Make an edit; equal inputs and seeds give equal ones, and all edits of a clip one draw.

        Returns:
            (F, 3, H, W), 0..1.
        """
        import torch

        own = self.settings.own
        height, width = source.frames.shape[1:3]
        video: Tensor = self._pipeline(
            prompt=edit.prompt,
            negative_prompt=own.negative_prompt,
            height=height,
            width=width,
            num_inference_steps=own.steps,
            guidance_scale=own.guidance_scale,
            generator=torch.Generator().manual_seed(source.seed),
            output_type="pt",
            callback_on_step_end=_Progress(f"video_id={source.video_id} edit={edit.name}"),
            **self.arguments(source, edit),
        ).frames[0]
        return video


class PartsMethod(VideoPipeline):
    """A video pipeline whose model is all its own. Its ``Config`` is a ``PipelineConfig``."""

    uses_base = False
    pipeline: ClassVar[str]
    """The class in diffusers."""
    kinds: ClassVar[tuple[str, ...]]
    """Pipelines for which a model may have been saved."""
    parts: ClassVar[Mapping[str, VideoPart]]
    """By folder."""
    options: ClassVar[tuple[str, ...]] = ()
    """What of ``model_index.json`` the pipeline is told, beside its parts."""

    @property
    @override
    def dtype(self) -> tuple[str, str]:
        return f"{self.section}.dtype", self.settings.own.dtype

    @abstractmethod
    def check_configs(self, configs: Mapping[str, Mapping[str, Any]]) -> None:
        """Refuse parts that do not go together.

        Args:
            configs: By folder, of the parts that have weights.

        Raises:
            ValueError: names value, limit and remedy.
        """

    @override
    def weights(self) -> Mapping[str, Mapping[str, str]]:
        return {"base": {name: part.stem for name, part in self.parts.items() if part.stem}}

    @override
    def least_bytes(self, numbers: Mapping[str, int]) -> float | None:
        own = self.settings.own
        number = _BYTES[own.dtype]
        each = [
            numbers[f"base/{name}"] * (4 if self.parts[name].fp32 else number)
            for name in self.weights()["base"]
        ]
        return {"none": sum(each), "model": max(each)}.get(own.offload)

    @override
    def check_own_models(self) -> None:
        own, index = self.settings.own, self._config("model_index.json")
        where = self.where
        check_index(where, index, self.parts, kinds=self.kinds, options=self.options)
        configs = {name: self._config(f"{name}/config.json") for name in self.weights()["base"]}
        for name, config in configs.items():
            if problem := self.parts[name].problem(config):
                raise ValueError(f"{where}: {name}/config.json {problem}")
        schedule = self._config("scheduler/scheduler_config.json")
        trained = schedule.get("num_train_timesteps", 1000)
        if not isinstance(trained, int) or own.steps > trained:
            raise ValueError(
                f"{self.section}.steps={own.steps} is over the {trained} steps that {where} was "
                "trained with: use 50"
            )
        self.check_configs(configs)
        self.size_rule()

    @override
    def load(self) -> None:
        import diffusers

        from tav_model.identity import resolve_model
        from tav_model.load import checked_device

        own = self.settings.own
        device = checked_device(self.settings.model.device)
        if own.offload != "none" and device.type != "cuda":
            raise ValueError(
                f"{self.section}.offload={own.offload} moves parts to a GPU and back, but "
                f"model.device is {device}: set model.device to cuda, or offload to none"
            )
        self.check_own_models()
        folder = resolve_model(own.base, own.revision, self.weights()["base"])
        loaded = {name: self._part(name, folder) for name in self.parts}
        index = self._config("model_index.json")
        told = {name: index[name] for name in self.options if index.get(name) is not None}
        self._pipeline = getattr(diffusers, self.pipeline)(**loaded, **told)
        self._pipeline.set_progress_bar_config(disable=True)
        if own.vae_tiling:
            self._pipeline.vae.enable_tiling()
        self.check_negative()
        place(self._pipeline, str(device), own.offload)

    def _part(self, name: str, folder: Path) -> Any:
        part, dtype = self.parts[name], self.settings.own.dtype
        kind = self._config("model_index.json")[name][1] if name == "scheduler" else part.kinds[0]
        if name == "tokenizer":
            return load_tokenizer(folder)
        return load_part(folder / name, part, kind, "fp32" if part.fp32 else dtype)

    def _config(self, name: str) -> dict[str, Any]:
        """A JSON file of the model."""
        own = self.settings.own
        return own_config(self.where, own.base, own.revision, name)

    @property
    def where(self) -> str:
        """Names the model in messages."""
        return f"{self.section}.base {self.settings.own.base!r}"


def place(pipeline: Any, device: str, offload: str) -> None:
    """Bring a pipeline where it computes, whole or part by part."""
    if offload == "none":
        pipeline.to(device)
    elif offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.enable_sequential_cpu_offload(device=device)


def pictures(frames: Frames) -> list[Any]:
    """Frames as diffusers' pipelines take them; without channels, (F, H, W), they are grey."""
    from PIL import Image

    return [Image.fromarray(frame) for frame in frames]


class _Progress:
    """Logs from time to time how far a pipeline is, which may take minutes."""

    def __init__(self, item: str) -> None:
        self._item = item
        self._logged = time.monotonic()

    def __call__(self, pipeline: Any, step: int, _timestep: Any, _given: Any) -> dict[str, Any]:
        if time.monotonic() - self._logged > _LOG_SECONDS:
            self._logged = time.monotonic()
            logger.info("%s step %d of %d", self._item, step + 1, pipeline.num_timesteps)
        return {}
