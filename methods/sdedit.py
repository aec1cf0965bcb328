"""SDEdit (arXiv 2108.01073): each frame noised part of the way, and denoised to the prompt.

As a script does that edits one image after the other with one seed: all frames share their noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from methods.image import ImageMethod, check_settings
from methods.method import Cost, Edit, Frames, Passes, Prepared, Source
from tav_model.config import SampleConfig, require

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class SDEditConfig:
    """How far the frames go into the noise, and how they come back.

    Raises:
        ValueError: a field is out of range; the message names value, limit and remedy.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    strength: float = 0.6
    """Share of the steps that is denoised: small keeps the source, 1 follows the prompt alone. The
    paper's range is 0.3 to 0.6."""
    steps: int = 50
    """Denoising steps of the whole schedule, of which ``int(strength * steps)`` are taken."""
    guidance_scale: float = 7.5
    """Weight of the prompt against the negative prompt (7.5 is Stable Diffusion's own); 1 is no
    guidance and half the work."""
    negative_prompt: str = ""
    """What the guidance moves away from."""
    frames_per_batch: int = field(default=8, metadata={"key": False})
    """Frames that go through the UNet together: faster on a GPU with memory to spare."""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_settings(self)
        least = 1 / self.steps
        require(
            least <= self.strength <= 1 and self.taken >= 1,
            "strength",
            self.strength,
            f"1 / steps = {least:.3g} .. 1",
            "With less not one step is left: use method identity for the source itself.",
        )

    @property
    def taken(self) -> int:
        """Steps that are denoised; cut as diffusers' image-to-image pipeline cuts."""
        return int(self.strength * self.steps)

    def sample(self) -> SampleConfig:
        """What sampling reads."""
        return SampleConfig(
            steps=self.steps,
            guidance_scale=self.guidance_scale,
            negative_prompt=self.negative_prompt,
        )


class SDEdit(ImageMethod):
    """Noises and denoises every frame with the image model; nothing is prepared."""

    Config = SDEditConfig
    uses_control = True
    section = "sdedit"

    @override
    def cost(self) -> Cost:
        own = self.settings.own
        guidance = 2 if own.guidance_scale > 1 else 1
        return Cost(
            stages={},
            edit=Passes(guided=guidance * own.taken, encode=1, decode=1, rows=guidance),
            image=True,
            frames_per_batch=own.frames_per_batch,
        )

    @override
    def edit(self, source: Source, edits: Sequence[Edit], prepared: Prepared) -> Iterator[Frames]:
        from tav_model.sample import sample
        from tav_model.vae import decode

        own = self.settings.own
        start, skip = self._noised(source), own.steps - own.taken
        steering = self._nets.steering(self._base, source)
        for edit in edits:
            (latents,) = sample(
                self._base, start, [edit.prompt], own.sample(), skip=skip, steering=steering
            )
            yield decode(self._base, latents)

    def _noised(self, source: Source) -> Tensor:
        """The clip's latents (C, F, H, W) at the noise level of the first step that is taken."""
        import torch

        from tav_model.solvers import sampling_timesteps

        own = self.settings.own
        clean = self.encode(source)
        generator = torch.Generator().manual_seed(source.seed)
        noise = torch.randn(clean[:, :1].shape, generator=generator).to(clean.device)
        level = sampling_timesteps(self._base, own.steps)[own.steps - own.taken]
        noised: Tensor = self._base.scheduler.add_noise(
            clean, noise.expand_as(clean), torch.tensor([level])
        )
        return noised
