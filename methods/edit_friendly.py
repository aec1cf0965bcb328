"""Edit-friendly noise (Huberman-Spiegelglas et al., arXiv 2304.06140) in place of DDIM inversion.

The clip is noised anew for every step, and what a step of the model with the source's prompt lacks
to lead from one noise level to the next is kept: with it the source's prompt leads back to the
clip exactly, and another prompt to an edit of it. On top of a tuned model, or of the image model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from typing_extensions import override

from methods.image import check_settings, image_numerics
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
from tav_model.config import SampleConfig, require

if TYPE_CHECKING:
    from torch import Tensor

NOISE = "noise"
"""Kind of the stage whose artefact is the noise that leads back to the clip."""
_MODELS = ("tuned", "image")
_ALMOST_ALL = 1 - 1e-6
"""The largest eta of a step from no signal at all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EditFriendlyConfig:
    """Model, steps and guidance; defaults are the paper's.

    Raises:
        ValueError: a field is out of range; the message names value, limit and remedy.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    model: Literal["tuned", "image"] = "tuned"
    """The model: Tune-A-Video's, tuned on the clip, or the base's own, which sees each frame alone.
    """
    steps: int = 100
    """Steps of the whole schedule."""
    skip: float = 0.36
    """Share of the steps that is left out at the noisy end: the more, the nearer to the source."""
    eta: float = 1.0
    """Share of each step's noise that is drawn anew: 1 is DDPM, 0 is DDIM."""
    source_guidance_scale: float = 3.5
    """Weight of the source's prompt while the noise is found."""
    guidance_scale: float = 15.0
    """Weight of the edited prompt."""
    negative_prompt: str = ""
    """What the guidance moves away from, of the source's prompt and of the edited one."""
    frames_per_batch: int = field(default=8, metadata={"key": False})
    """On the image model: frames that go through the UNet together."""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_settings(self)
        require(
            self.model in _MODELS,
            "model",
            self.model,
            f"one of {_MODELS}",
            "Use tuned, as Tune-A-Video.",
        )
        try:
            SampleConfig(guidance_scale=self.source_guidance_scale)
        except ValueError as error:
            raise ValueError(f"source_{error}") from error
        require(0 <= self.eta <= 1, "eta", self.eta, "0 .. 1", "The paper uses 1.")
        most = 1 - 1 / self.steps
        require(
            0 <= self.skip < 1 and self.taken >= 1,
            "skip",
            self.skip,
            f"0 .. 1 - 1 / steps = {most:.3g}",
            "With more not one step is left: use method identity for the source itself.",
        )

    @property
    def skipped(self) -> int:
        """Steps that are left out; int() cuts."""
        return int(self.steps * self.skip)

    @property
    def taken(self) -> int:
        """Steps that are walked."""
        return self.steps - self.skipped


class EditFriendly(TunedMethod):
    """Finds the noise of each clip once, and makes every edit with it."""

    Config = EditFriendlyConfig

    @property
    def _tunes(self) -> bool:
        model: str = self.settings.own.model
        return model == "tuned"

    @override
    def stages(self) -> Sequence[Stage]:
        own = self.settings.own
        parts: dict[str, Any] = {
            "on": own.model,
            "steps": own.steps,
            "taken": own.taken,
            "eta": own.eta,
            "guidance_scale": own.source_guidance_scale,
            "negative_prompt": own.negative_prompt if own.source_guidance_scale > 1 else None,
        }
        if self._tunes:
            return (self.adapter_stage(), Stage(kind=NOISE, parts=parts))
        return (Stage(kind=NOISE, parts={**parts, "model": image_numerics(self.settings.model)}),)

    @override
    def key_parts(self) -> Mapping[str, Any]:
        # Of the tuned model the first stage's key says more.
        model = None if self._tunes else image_numerics(self.settings.model)
        return {"own": self.settings.own, "model": model}

    @override
    def schedule_steps(self) -> Mapping[str, int]:
        return {"edit_friendly.steps": self.settings.own.steps}

    @override
    def cost(self) -> Cost:
        own = self.settings.own
        there, back = (
            2 if scale > 1 else 1 for scale in (own.source_guidance_scale, own.guidance_scale)
        )
        noise = Passes(guided=there * own.taken, encode=1, rows=there)
        return Cost(
            stages={NOISE: noise, **({ADAPTER: self.adapter_passes()} if self._tunes else {})},
            edit=Passes(guided=back * own.taken, decode=1, rows=back),
            image=not self._tunes,
            frames_per_batch=None if self._tunes else own.frames_per_batch,
            storage={NOISE: self._stored_bytes},
        )

    def _stored_bytes(self, size: ClipSize, factor: float) -> float:
        kept: int = 1 + self.settings.own.taken
        return 4 * kept * size.latents(factor)

    @override
    def load(self) -> None:
        from tav_model.image import load_image_base
        from tav_model.text import check_settings

        own = self.settings.own
        if self._tunes:
            super().load()
        else:
            frames = own.frames_per_batch
            self._base = load_image_base(self.settings.model, frames_per_batch=frames)
        texts = {"edit_friendly.negative_prompt": own.negative_prompt}
        check_settings(self._base.tokenizer, texts)

    @override
    def prepare(
        self, source: Source, prepared: Prepared, wanted: Sequence[str], desk: Desk
    ) -> Iterator[Artefact]:
        from safetensors.torch import save_file

        from tav_model.vae import mean_latents

        moments = self.moments(source)
        if ADAPTER in wanted:
            yield self.tune(source, moments, desk, prepared)
        elif self._tunes:
            self.adapt(prepared)
        if NOISE not in wanted:
            return
        clean = mean_latents(moments)
        noise, back = self.find_noise(clean, source.prompt, source.seed)
        path = desk.folder / "noise.safetensors"
        # In fp32 whatever the model: half of it would be off by 1e-4 at every step.
        save_file({"noise": noise.cpu().contiguous()}, path)
        facts = {"reconstruction_error": (back - clean).abs().max().item()}
        yield Artefact(kind=NOISE, path=path, facts=facts)

    @override
    def edit(self, source: Source, edits: Sequence[Edit], prepared: Prepared) -> Iterator[Frames]:
        from safetensors.torch import load_file

        from tav_model.vae import decode

        if self._tunes:
            self.adapt(prepared)
        noise = load_file(prepared[NOISE])["noise"]
        for edit in edits:
            yield decode(self._base, self.sample(noise, edit.prompt))

    def find_noise(self, clean_CFHW: Tensor, prompt: str, seed: int) -> tuple[Tensor, Tensor]:
        """Find what leads back to a clip.

        Args:
            clean_CFHW: its latents, fp32, scaled as the UNet's.
            prompt: the source's.
            seed: of the draws.

        Returns:
            (T + 1, C, F, H, W) fp32 on the model's device: the latents at the first of the T steps,
            and what is to be added after each; and where they lead to, (C, F, H, W).

        Raises:
            PromptError: the prompt is over the text encoder's limit.
            NonFiniteError: the latents became NaN or infinite.
        """
        import torch

        scale = self.settings.own.source_guidance_scale
        levels = self._levels(clean_CFHW, seed)
        found = [levels[0]]

        def lacking(i: int, mean: Tensor) -> Tensor:
            # The paper's noise times its deviation: without a division by one that may be zero.
            found.append(levels[i + 1] - mean)
            return found[-1]

        back = self._walk(levels[0], prompt, scale, lacking)
        return torch.stack(found), back

    def sample(self, noise_TCFHW: Tensor, prompt: str) -> Tensor:
        """Sample an edit.

        Args:
            noise_TCFHW: what `find_noise` found.
            prompt: the edit's.

        Returns:
            (C, F, H, W) fp32 on the model's device.

        Raises:
            PromptError, NonFiniteError: see `find_noise`.
        """
        start, *found = noise_TCFHW.to(self._base.device)
        return self._walk(start, prompt, self.settings.own.guidance_scale, lambda i, _: found[i])

    def _levels(self, clean_CFHW: Tensor, seed: int) -> list[Tensor]:
        """The clip at the noise level of each step that is walked, and without any noise.

        Each level's noise is drawn by itself, which is what makes it edit-friendly. Frames share it
        where the model sees each alone, and have their own where it is tuned so.
        """
        import torch

        timesteps = self._timesteps()
        shape = (clean_CFHW if self._tunes else clean_CFHW[:, :1]).shape
        generator = torch.Generator().manual_seed(seed)
        levels = [clean_CFHW]
        # From the clean end on, so that what is left out at the other changes no draw.
        for t in reversed(timesteps):
            noise = torch.randn(shape, generator=generator).to(clean_CFHW.device)
            noise = noise.expand_as(clean_CFHW)
            levels.append(self._base.scheduler.add_noise(clean_CFHW, noise, torch.tensor([t])))
        return levels[::-1]

    def _timesteps(self) -> list[int]:
        from tav_model.solvers import sampling_timesteps

        own = self.settings.own
        return sampling_timesteps(self._base, own.steps)[own.skipped :]

    def _walk(self, start_CFHW: Tensor, prompt: str, scale: float, noise_of: Any) -> Tensor:
        """Walk from noise to a clip.

        Args:
            start_CFHW: the latents at the first step.
            prompt: what leads.
            scale: of the guidance.
            noise_of: gives what is added to the mean that a step, counted from 0, leads to.
        """
        import torch

        from tav_model.finite import check_finite
        from tav_model.sample import otherwise, predict
        from tav_model.text import encode_prompts

        base, own = self._base, self.settings.own
        prompts = [own.negative_prompt, prompt] if scale > 1 else [prompt]
        text = encode_prompts(base, prompts)
        x = start_CFHW[None]
        none = torch.zeros_like(x)
        with torch.no_grad():
            for i, t in enumerate(self._timesteps()):
                timestep = torch.tensor(t, device=base.device)
                prediction = predict(base, x, timestep, text, scale)
                # Where no signal is left, all of a deviation at eta 1 is noise, and rounding makes
                # what diffusers takes the root of negative on some CPUs.
                signal = float(base.scheduler.alphas_cumprod[t])
                eta = own.eta if signal > 0 else min(own.eta, _ALMOST_ALL)
                mean = base.scheduler.step(prediction, t, x, eta=eta, variance_noise=none)[0]
                x = mean + noise_of(i, mean[0])
        check_finite(x, "sampling", base.dtype, otherwise(base))
        return x[0]
