"""FateZero (Qi et al., arXiv 2303.09535): attention of the inverted clip, blended into each edit.

On top of a tuned model. The official code holds all maps of attention of the inversion, tens of
gigabytes a clip; here the inversion's latents are kept, and each goes through the UNet once more
beside the edit, which gives the same maps. Must agree with ChenyangQiQi/FateZero in what is blended
where and when.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from typing_extensions import override

from methods.image import check_settings
from methods.method import (
    ADAPTER,
    Artefact,
    ClipSize,
    Cost,
    Desk,
    Edit,
    Frames,
    Passes,
    Prepared,
    Source,
    Stage,
)
from methods.tuned import TunedMethod
from tav_model.config import InvertConfig, require

if TYPE_CHECKING:
    from torch import Tensor

    from methods.alignment import Alignment
    from methods.blending import Blending

INVERSION = "inversion"
"""Kind of the stage whose artefact is the inverted latents and where the text's words are seen."""
_ALIGNMENTS = ("refine", "replace")
_TOKENS = 77
"""Of Stable Diffusion's text encoder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FateZeroConfig:
    """Steps, guidance and blending; defaults of the official code for styles.

    Raises:
        ValueError: a field is out of range; the message names value, limit and remedy.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    steps: int = 50
    """Steps of the inversion, with the source's prompt and without guidance, and of sampling."""
    guidance_scale: float = 7.5
    """Weight of the prompt against the negative prompt; 1 is no guidance."""
    negative_prompt: str = ""
    """What the guidance moves away from."""
    self_replace_steps: float = 0.8
    """Share of the steps, from the first on, in which self-attention is the source's."""
    cross_replace_steps: float = 0.8
    """Likewise of attention to the words that both prompts have."""
    mask_threshold: float = 0.3
    """Self-attention stays the edit's own where the source's words that the edit has not are seen
    by more than this share of where they are seen best: 0 is everywhere, 1 nowhere."""
    alignment: Literal["refine", "replace"] = "refine"
    """What words see that stand for others: what they attract themselves, or what those saw."""
    amplify: float = 1.0
    """Weight of the words that the source's prompt has not."""
    max_tokens: int = 1024
    """Attention of layers with more latents a frame is left alone."""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_settings(self)
        for name in ("self_replace_steps", "cross_replace_steps"):
            value = getattr(self, name)
            require(0 <= value <= 1, name, value, "0 .. 1", "Use 0 for none.")
        threshold = self.mask_threshold
        require(
            0 <= threshold <= 1, "mask_threshold", threshold, "0 .. 1", "Use 1 for no mask at all."
        )
        require(
            self.alignment in _ALIGNMENTS,
            "alignment",
            self.alignment,
            f"one of {_ALIGNMENTS}",
            "Use replace for another shape.",
        )
        most = 100
        require(0 <= self.amplify <= most, "amplify", self.amplify, f"0 .. {most}", "Use 1.")
        tokens = self.max_tokens
        require(tokens >= 1, "max_tokens", tokens, ">= 1", "The official code's is 1024.")

    def blends(self, step: int) -> tuple[bool, bool]:
        """Whether a step, counted from 0, takes over self- and cross-attention. int() cuts."""
        return (
            step < int(self.steps * self.self_replace_steps),
            step < int(self.steps * self.cross_replace_steps),
        )


class FateZero(TunedMethod):
    """Inverts every clip once, and blends its attention into each edit."""

    Config = FateZeroConfig
    takes_windows = False
    """The maps that are kept of a step are those of one call of the UNet."""

    _blending: Blending

    @override
    def stages(self) -> Sequence[Stage]:
        inversion = {"invert": InvertConfig(steps=self.settings.own.steps)}
        return (self.adapter_stage(), Stage(kind=INVERSION, parts=inversion))

    @override
    def schedule_steps(self) -> Mapping[str, int]:
        return {"fatezero.steps": self.settings.own.steps}

    @override
    def cost(self) -> Cost:
        own = self.settings.own
        guidance = 2 if own.guidance_scale > 1 else 1
        blended = sum(any(own.blends(i)) for i in range(own.steps))
        inversion = Passes(inversion=own.steps, encode=1)
        return Cost(
            stages={ADAPTER: self.adapter_passes(), INVERSION: inversion},
            edit=Passes(
                guided=guidance * own.steps + blended,
                decode=1,
                rows=guidance + (1 if blended else 0),
            ),
            storage={INVERSION: self._stored_bytes},
        )

    def _stored_bytes(self, size: ClipSize, factor: float) -> float:
        """Latents, and words at a quarter of their sides, as in Stable Diffusion, in float16."""
        steps: int = self.settings.own.steps
        words = 2 * _TOKENS * size.latents(4 * factor) / 4
        return 4 * (1 + steps) * size.latents(factor) + steps * words

    @override
    def load(self) -> None:
        from methods.blending import install
        from tav_model.text import check_settings

        super().load()
        own, base = self.settings.own, self._base
        check_settings(base.tokenizer, {"fatezero.negative_prompt": own.negative_prompt})
        self._blending = install(base.unet, own.max_tokens)

    @override
    def prepare(
        self, source: Source, prepared: Prepared, wanted: Sequence[str], desk: Desk
    ) -> Iterator[Artefact]:
        import torch
        from safetensors.torch import save_file

        from tav_model.vae import sample_latents

        moments = self.moments(source)
        if ADAPTER in wanted:
            yield self.tune(source, moments, desk, prepared)
        else:
            self.adapt(prepared)
        if INVERSION not in wanted:
            return
        generator = torch.Generator().manual_seed(source.seed)
        latents, words = self.invert(sample_latents(moments, generator), source.prompt)
        path = desk.folder / "inversion.safetensors"
        save_file({"latents": latents.cpu(), "words": words.cpu()}, path)
        yield Artefact(kind=INVERSION, path=path)

    def invert(self, clean_CFHW: Tensor, prompt: str) -> tuple[Tensor, Tensor]:
        """Invert a clip, and see where the words of its prompt are.

        Args:
            clean_CFHW: its latents, fp32, scaled as the UNet's.
            prompt: the source's.

        Returns:
            In the order in which sampling reads them: (T + 1, C, F, H, W) fp32, the inverted
            latents, then what the UNet was asked about at each of T steps; and (T, F, S, K) fp16,
            how much each latent of the coarsest layers attends to each of the prompt's K tokens.

        Raises:
            PromptError: the prompt is over the text encoder's limit.
            NonFiniteError: the latents became NaN or infinite.
        """
        import torch

        from tav_model.invert import invert

        base, blending = self._base, self._blending
        count = len(base.tokenizer(prompt).input_ids)
        words: list[Tensor] = []

        def keep(_timestep: int, _latents: Tensor) -> None:
            assert blending.recording is not None
            words.append(torch.stack(blending.recording).mean(0)[..., :count].half())
            blending.recording.clear()

        blending.recording = []
        try:
            config = InvertConfig(steps=self.settings.own.steps)
            trace = invert(base, clean_CFHW, config, prompt=prompt, all_steps=True, on_latents=keep)
        finally:
            blending.reset()
        return trace.flip(0), torch.stack(words).flip(0)

    @override
    def edit(self, source: Source, edits: Sequence[Edit], prepared: Prepared) -> Iterator[Frames]:
        from safetensors.torch import load_file

        from tav_model.vae import decode

        self.adapt(prepared)
        kept = load_file(prepared[INVERSION])
        for edit in edits:
            latents = self.sample(kept["latents"], kept["words"], source.prompt, edit.prompt)
            yield decode(self._base, latents)

    def sample(
        self, inverted_TCFHW: Tensor, words_TFSK: Tensor, source_prompt: str, prompt: str
    ) -> Tensor:
        """Sample an edit.

        Args:
            inverted_TCFHW: see `invert`.
            words_TFSK: likewise.
            source_prompt: the source's.
            prompt: the edit's.

        Returns:
            (C, F, H, W) fp32 on the model's device.

        Raises:
            PromptError: a prompt is over the text encoder's limit.
            NonFiniteError: the latents became NaN or infinite.
        """
        import torch

        from methods.alignment import align
        from tav_model.finite import check_finite
        from tav_model.sample import otherwise
        from tav_model.solvers import sampling_timesteps
        from tav_model.text import encode_prompts

        base, own = self._base, self.settings.own
        asked = encode_prompts(base, [own.negative_prompt, prompt])
        asked = asked if own.guidance_scale > 1 else asked[1:]
        text = torch.cat([encode_prompts(base, [source_prompt]), asked])
        replace = own.alignment == "replace"
        aligned = align(base.tokenizer, source_prompt, prompt, replace=replace, amplify=own.amplify)
        x: Tensor
        x, *sources = inverted_TCFHW.to(base.device)
        for i, t in enumerate(sampling_timesteps(base, own.steps)):
            self._blend(i, aligned, words_TFSK[i], x.shape[-2:])
            try:
                x = self._step(x, sources[i], t, text)
            finally:
                self._blending.reset()
        check_finite(x, "sampling", base.dtype, otherwise(base))
        return x

    def _blend(self, step: int, aligned: Alignment, words_FSK: Tensor, size: Sequence[int]) -> None:
        """Say what a step takes over, for latents of this height and width."""
        import torch

        own, blending, device = self.settings.own, self._blending, self._base.device
        blending.attention, crossing = own.blends(step)
        if crossing:
            source, attracted = (torch.tensor(x) for x in (aligned.source, aligned.own))
            blending.words = source.to(device), attracted.to(device)
        # With all of the source's words in the edit, all of its self-attention is taken over.
        if blending.attention and aligned.edited and own.mask_threshold < 1:
            seen = words_FSK[..., list(aligned.edited)].sum(-1, dtype=torch.float32)
            blending.mask(seen.to(device), size, own.mask_threshold)

    def _step(self, x_CFHW: Tensor, source_CFHW: Tensor, t: int, text: Tensor) -> Tensor:
        """Denoise one step, beside the source where it is blended with it."""
        import torch

        base, blending, scale = self._base, self._blending, self.settings.own.guidance_scale
        rows = [x_CFHW] * (len(text) - 1)
        if blending.attention or blending.words is not None:
            rows = [source_CFHW, *rows]
        with torch.no_grad():
            timestep = torch.tensor(t, device=base.device)
            out = base.unet(torch.stack(rows), timestep, text[-len(rows) :])
        prediction = out[-1]
        if scale > 1:
            prediction = out[-2] + scale * (out[-1] - out[-2])
        latents: Tensor = base.scheduler.step(prediction, t, x_CFHW, return_dict=False)[0]
        return latents
