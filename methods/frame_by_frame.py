"""Each frame inverted and edited alone with the image model: DDIM inversion, then guidance.

What an image model does to a video (arXiv 2010.02502, 2207.12598): no frame knows another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

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
from tav_model.config import InvertConfig, SampleConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameByFrameConfig:
    """Steps and guidance; defaults are Tune-A-Video's.

    Raises:
        ValueError: a field is out of range; the message names value, limit and remedy.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    inversion_steps: int = 50
    """Inversion steps, with the empty prompt and without guidance."""
    steps: int = 50
    """Denoising steps."""
    guidance_scale: float = 12.5
    """Weight of the prompt against the negative prompt; 1 is no guidance and half the work."""
    negative_prompt: str = ""
    """What the guidance moves away from."""
    frames_per_batch: int = field(default=8, metadata={"key": False})
    """Frames that go through the UNet together: faster on a GPU with memory to spare."""

    def __post_init__(self) -> None:
        """Check ranges."""
        check_settings(self)

    def invert(self) -> InvertConfig:
        """What the inversion reads."""
        return InvertConfig(steps=self.inversion_steps)

    def sample(self) -> SampleConfig:
        """What sampling reads."""
        return SampleConfig(
            steps=self.steps,
            guidance_scale=self.guidance_scale,
            negative_prompt=self.negative_prompt,
        )


class FrameByFrame(ImageMethod):
    """Inverts and samples every frame with the image model."""

    Config = FrameByFrameConfig
    uses_control = True
    section = "frame_by_frame"

    @override
    def stages(self) -> Sequence[Stage]:
        parts = {"invert": self.settings.own.invert(), "model": self.numerics}
        return (Stage(kind=INVERSION, parts=parts),)

    @override
    def cost(self) -> Cost:
        own = self.settings.own
        guidance = 2 if own.guidance_scale > 1 else 1
        return Cost(
            stages={INVERSION: Passes(inversion=own.inversion_steps, encode=1)},
            edit=Passes(guided=guidance * own.steps, decode=1, rows=guidance),
            image=True,
            frames_per_batch=own.frames_per_batch,
            storage={INVERSION: self.stored_bytes},
        )

    @override
    def prepare(
        self, source: Source, prepared: Prepared, wanted: Sequence[str], desk: Desk
    ) -> Iterator[Artefact]:
        from safetensors.torch import save_file

        from tav_model.invert import invert

        latents = invert(self._base, self.encode(source), self.settings.own.invert())
        path = desk.folder / "inversion.safetensors"
        save_file({"latents": self.stored(latents)}, path)
        yield Artefact(kind=INVERSION, path=path)

    @override
    def edit(self, source: Source, edits: Sequence[Edit], prepared: Prepared) -> Iterator[Frames]:
        from safetensors.torch import load_file

        from tav_model.sample import sample
        from tav_model.vae import decode

        start = load_file(prepared[INVERSION])["latents"].float()
        steering = self._nets.steering(self._base, source)
        for edit in edits:
            (latents,) = sample(
                self._base, start, [edit.prompt], self.settings.own.sample(), steering=steering
            )
            yield decode(self._base, latents)
