"""Plug-and-Play diffusion features (Tumanyan et al., arXiv 2211.12572), for each frame alone.

The inverted frame goes through the UNet beside its edit, which takes over the source's features and
the queries and keys of its self-attention. Must agree with MichalGeyer/pnp-diffusers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from methods.image import INVERSION, ImageMethod, check_settings
from methods.method import (
    Artefact,
    Cost,
    Desk,
    Edit,
    Frames,
    Passes,
    Prepared,
    Source,
    Stage,
)
from tav_model.config import InvertConfig, require
from tav_model.schedule import check_contained

if TYPE_CHECKING:
    from torch import Tensor, nn

DEPTH = 1 / 3
"""Where in the decoder features are taken, and attention from there on: layer 4 of the 12 that
Stable Diffusion has."""
ROWS = 3
"""The source, the negative prompt and the edited prompt, in the UNet's batch."""

PROJECTIONS = ("to_q", "to_k")
"""What of self-attention is the source's; values stay each row's own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlugAndPlayConfig:
    """Steps, guidance and injection; defaults of the official configuration.

    Raises:
        ValueError: a field is out of range; the message names value, limit and remedy.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    inversion_steps: int = 999
    """Inversion steps, without guidance. Their timesteps must contain those of sampling."""
    inversion_prompt: str = ""
    """Text of the inversion; the source's own features are always taken with the empty one."""
    steps: int = 50
    """Denoising steps."""
    guidance_scale: float = 7.5
    """Weight of the prompt against the negative prompt."""
    negative_prompt: str = "ugly, blurry, black, low res, unrealistic"
    """What the guidance moves away from."""
    feature_injection: float = 0.8
    """Share of the steps, from the first on, in which features are the source's (pnp_f_t)."""
    attention_injection: float = 0.5
    """Likewise of queries and keys of self-attention (pnp_attn_t)."""
    frames_per_batch: int = field(default=8, metadata={"key": False})
    """Frames that go through the UNet together, three times each."""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_settings(self)
        require(
            self.inversion_steps >= self.steps,
            "inversion_steps",
            self.inversion_steps,
            f">= steps={self.steps}",
            "The official code uses 999 and 50.",
        )
        for name in ("feature_injection", "attention_injection"):
            value = getattr(self, name)
            require(0 <= value <= 1, name, value, "0 .. 1", "Use 0 for none.")

    def injects(self, step: int) -> tuple[bool, bool]:
        """Whether a step, counted from 0, takes over features and attention. int() cuts."""
        return (
            step < int(self.steps * self.feature_injection),
            step < int(self.steps * self.attention_injection),
        )


@dataclass(kw_only=True, slots=True)
class Injection:
    """What the running UNet call takes over from its source, the first third of its rows."""

    features: bool = False
    attention: bool = False

    def features_hook(self, _layer: nn.Module, _args: Any, out: Tensor) -> Tensor:
        """Give all rows the source's features."""
        return from_source(out) if self.features else out

    def attention_hook(self, _layer: nn.Module, _args: Any, out: Tensor) -> Tensor:
        """Give all rows the source's queries, or keys."""
        return from_source(out) if self.attention else out


def from_source(x: Tensor) -> Tensor:
    """Repeat the first of three rows, each of which is of all frames of the batch."""
    return x[: len(x) // ROWS].repeat(ROWS, *[1] * (x.ndim - 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Layers:
    """Where a UNet is injected, by module names."""

    features: str
    """The convolution at the end of a residual branch, before the shortcut is added."""
    attention: tuple[str, ...]
    """Self-attentions."""


def layers(unet: Any) -> Layers:
    """Choose the layers by their depth in the decoder, its blocks in one row.

    Raises:
        ValueError: no decoder layer from that depth on has attention.
    """
    decoder = [
        (f"up_blocks.{i}", j, getattr(block, "attentions", None))
        for i, block in enumerate(unet.up_blocks)
        for j in range(len(block.resnets))
    ]
    first = round(DEPTH * len(decoder))
    attention = tuple(
        f"{name}.attentions.{j}.transformer_blocks.{k}.attn1"
        for name, j, attentions in decoder[first:]
        if attentions is not None
        for k in range(len(attentions[j].transformer_blocks))
    )
    if not attention:
        raise ValueError(
            f"plug_and_play needs self-attention in the decoder from layer {first} of "
            f"{len(decoder)} on, but this base's UNet has none there (up_block_types="
            f"{list(unet.config.up_block_types)}). Use a base of Stable Diffusion's layout."
        )
    name, j, _ = decoder[first]
    return Layers(features=f"{name}.resnets.{j}.conv2", attention=attention)


class PlugAndPlay(ImageMethod):
    """Inverts every frame once, and injects what the UNet makes of it into each edit."""

    Config = PlugAndPlayConfig
    section = "plug_and_play"
    texts = ("inversion_prompt", "negative_prompt")

    _injection: Injection
    _timesteps: list[int]
    """Of sampling, descending."""

    @override
    def stages(self) -> Sequence[Stage]:
        own = self.settings.own
        inversion = {
            "invert": InvertConfig(steps=own.inversion_steps),
            "prompt": own.inversion_prompt,
            "kept": own.steps,
        }
        return (Stage(kind=INVERSION, parts={**inversion, "model": self.numerics}),)

    @override
    def cost(self) -> Cost:
        own = self.settings.own
        injected = sum(any(own.injects(i)) for i in range(own.steps))
        return Cost(
            stages={INVERSION: Passes(inversion=own.inversion_steps, encode=1)},
            edit=Passes(
                guided=2 * own.steps + injected, decode=1, rows=ROWS if injected else ROWS - 1
            ),
            image=True,
            frames_per_batch=own.frames_per_batch,
            storage={INVERSION: lambda size, factor: self.stored_bytes(size, factor, own.steps)},
        )

    @override
    def check_schedule(self, schedule: Mapping[str, Any]) -> None:
        inversion, sampling = self.schedule_steps().items()
        check_contained(schedule, inversion, sampling)

    @override
    def load(self) -> None:
        from tav_model.solvers import sampling_timesteps

        super().load()
        own, unet = self.settings.own, self._base.unet
        self._timesteps = sampling_timesteps(self._base, own.steps)
        self.check_schedule(self._base.scheduler.config)
        self._injection = Injection()
        chosen = layers(unet)
        unet.get_submodule(chosen.features).register_forward_hook(self._injection.features_hook)
        for name in chosen.attention:
            for projection in PROJECTIONS:
                layer = unet.get_submodule(f"{name}.{projection}")
                layer.register_forward_hook(self._injection.attention_hook)

    @override
    def prepare(
        self, source: Source, prepared: Prepared, wanted: Sequence[str], desk: Desk
    ) -> Iterator[Artefact]:
        import torch
        from safetensors.torch import save_file

        from tav_model.invert import invert

        own = self.settings.own
        kept: dict[int, Tensor] = {}

        def keep(timestep: int, latents: Tensor) -> None:
            if timestep in self._timesteps:
                kept[timestep] = self.stored(latents)

        config = InvertConfig(steps=own.inversion_steps)
        clean = self.encode(source)
        invert(self._base, clean, config, prompt=own.inversion_prompt, on_latents=keep)
        path = desk.folder / "inversion.safetensors"
        # In the order in which sampling reads them.
        save_file({"latents": torch.stack([kept[t] for t in self._timesteps])}, path)
        yield Artefact(kind=INVERSION, path=path)

    @override
    def edit(self, source: Source, edits: Sequence[Edit], prepared: Prepared) -> Iterator[Frames]:
        from safetensors.torch import load_file

        from tav_model.vae import decode

        inverted = load_file(prepared[INVERSION])["latents"].float()
        for edit in edits:
            yield decode(self._base, self.sample(inverted, edit.prompt))

    def sample(self, inverted_TCFHW: Tensor, prompt: str) -> Tensor:
        """Sample an edit.

        Args:
            inverted_TCFHW: the source's latents at each of sampling's timesteps, fp32.
            prompt: the edit's.

        Returns:
            (C, F, H, W) fp32 on the model's device.

        Raises:
            PromptError: the prompt is over the text encoder's limit.
            NonFiniteError: the latents became NaN or infinite.
        """
        from tav_model.finite import check_finite
        from tav_model.sample import otherwise
        from tav_model.text import encode_prompts

        base = self._base
        text = encode_prompts(base, ["", self.settings.own.negative_prompt, prompt])
        x = inverted_TCFHW[0].to(base.device)
        for i, source in enumerate(inverted_TCFHW):
            x = self.step(i, x, source.to(base.device), text)
        check_finite(x, "sampling", base.dtype, otherwise(base))
        return x

    def step(self, i: int, x_CFHW: Tensor, source_CFHW: Tensor, text_3LC: Tensor) -> Tensor:
        """Denoise one step.

        Args:
            i: its number, from 0.
            x_CFHW: the edit's latents, fp32.
            source_CFHW: the inverted latents at this step's timestep, fp32.
            text_3LC: embeddings of the empty, the negative and the edited prompt.

        Returns:
            (C, F, H, W) fp32: the edit's latents after it.
        """
        import torch

        base, own, injection = self._base, self.settings.own, self._injection
        t = self._timesteps[i]
        injection.features, injection.attention = own.injects(i)
        injecting = injection.features or injection.attention
        rows = torch.stack([source_CFHW, x_CFHW, x_CFHW] if injecting else [x_CFHW, x_CFHW])
        try:
            with torch.no_grad():
                timestep = torch.tensor(t, device=base.device)
                low, high = base.unet(rows, timestep, text_3LC[-len(rows) :])[-2:]
        finally:
            injection.features = injection.attention = False
        prediction = low + own.guidance_scale * (high - low)
        out: Tensor = base.scheduler.step(prediction, t, x_CFHW, return_dict=False)[0]
        return out
