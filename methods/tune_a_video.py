"""Tune-A-Video (arXiv 2212.11565): one-shot tuning, DDIM inversion, sampling with guidance.

The product's own method. Its sections of the configuration are ``tune``, ``invert`` and ``sample``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from typing_extensions import override

from methods.keeping import Kept
from methods.method import (
    ADAPTER,
    LATENTS,
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
from methods.tuned import TunedMethod

if TYPE_CHECKING:
    from torch import Tensor

    from tav_model.vae import Moments


_KEEPING = 3
"""Counts how what lies outside of masks is kept (`tav_model.keeping`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneAVideoConfig:
    """Nothing of its own: see ``tune``, ``invert`` and ``sample``."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


class TuneAVideo(TunedMethod):
    """Tunes an adapter for each video and samples edits from the inverted clip."""

    Config = TuneAVideoConfig
    uses_control = True
    adapter_of = ""

    _kept: Kept

    @override
    def stages(self) -> Sequence[Stage]:
        inversion = {"invert": self.settings.invert}
        inverted = self.settings.sample.start == "inversion"
        return (self.adapter_stage(), Stage(kind=LATENTS, parts=inversion, kept=inverted))

    @property
    @override
    def edits_use_mask(self) -> bool:
        return self.settings.sample.keep_outside in ("mask", "sam2")

    @property
    @override
    def masks_by_sam2(self) -> bool:
        return self.settings.sample.keep_outside == "sam2"

    @override
    def load(self) -> None:
        super().load()
        self._kept = Kept()

    @override
    def key_parts(self) -> Mapping[str, Any]:
        sample = self.settings.sample
        kept = {} if sample.keep_outside == "nothing" else {"keeping": _KEEPING}
        return {"sample": sample, **kept}

    @override
    def schedule_steps(self) -> Mapping[str, int]:
        settings = self.settings
        return {"invert.steps": settings.invert.steps, "sample.steps": settings.sample.steps}

    @override
    def cost(self) -> Cost:
        settings, sample = self.settings, self.settings.sample
        guided = sum(map(sample.guided, range(sample.steps)))
        # Once for all edits of a video, and here counted for each.
        again = sample.steps if sample.keep_outside != "nothing" else 0
        return Cost(
            stages={
                ADAPTER: self.adapter_passes(),
                # There, and back again for the reconstruction.
                LATENTS: Passes(inversion=2 * settings.invert.steps, encode=1, decode=1),
            },
            edit=Passes(
                guided=guided + sample.steps,
                inversion=again,
                encode=1 if again else 0,
                decode=1,
                rows=(2 if guided else 1) * sample.at_once,
            ),
        )

    @property
    @override
    def batch(self) -> int:
        return self.settings.sample.at_once

    @override
    def prepare(
        self, source: Source, prepared: Prepared, wanted: Sequence[str], desk: Desk
    ) -> Iterator[Artefact]:
        moments = self.moments(source)
        if ADAPTER in wanted:
            yield self.tune(source, moments, desk, prepared)
        else:
            self.adapt(prepared)
        if LATENTS in wanted:
            yield self._invert(source, moments)

    @override
    def edit(self, source: Source, edits: Sequence[Edit], prepared: Prepared) -> Iterator[Frames]:
        import torch

        from tav_model.keeping import pasted
        from tav_model.sample import sample
        from tav_model.vae import decode

        self.adapt(prepared)
        # Of use where sampling starts from noise: all edits of a video then share theirs.
        generator = torch.Generator().manual_seed(source.seed)
        start = torch.tensor(self._start(source, prepared), dtype=torch.float32)
        prompts = [edit.prompt for edit in edits]
        clean = functools.partial(self._clean, source)
        with self._kept.around(
            self._base, source, start, prompts, self.settings.sample, clean
        ) as kept:
            after = None if kept is None else kept.blend
            made = sample(
                self._base,
                start,
                prompts,
                self.settings.sample,
                generator=generator,
                steering=self._nets.steering(self._base, source, after),
            )
        masks = [] if kept is None else kept.changed
        for number, latents in enumerate(made):
            frames = decode(self._base, latents)
            if masks:
                frames = pasted(frames, source.frames, masks[number % len(masks)])
            yield frames

    def _clean(self, source: Source) -> Tensor:
        """The clip's latents, by the draw of the inversion that is kept."""
        import torch

        from tav_model.vae import sample_latents

        generator = torch.Generator().manual_seed(source.seed)
        return sample_latents(self.moments(source), generator)

    def _start(self, source: Source, prepared: Prepared) -> np.ndarray[Any, Any]:
        """Inverted latents (C, F, H, W); where sampling starts from noise, only their shape."""
        if LATENTS in prepared:
            latents: np.ndarray[Any, Any] = prepared[LATENTS]
            return latents
        frames, height, width, _ = source.frames.shape
        factor = 2 ** (len(self._base.vae.config.block_out_channels) - 1)
        channels = self._base.vae.config.latent_channels
        return np.zeros((channels, frames, height // factor, width // factor), np.float16)

    def _invert(self, source: Source, moments: Moments) -> Artefact:
        """Invert the clip, and see how well sampling leads back to it."""
        import torch

        from tav_model.config import SampleConfig
        from tav_model.invert import invert
        from tav_model.sample import sample
        from tav_model.vae import decode, sample_latents

        config = self.settings.invert
        generator = torch.Generator().manual_seed(source.seed)
        inverted = invert(self._base, sample_latents(moments, generator), config)
        back = SampleConfig(steps=config.steps, guidance_scale=1.0)
        (latents,) = sample(self._base, inverted, [source.prompt], back)
        return Artefact(
            kind=LATENTS,
            latents=inverted.float().cpu().numpy(),
            facts={"reconstruction_psnr": psnr(decode(self._base, latents), source.frames)},
        )


def psnr(a: Frames, b: Frames) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 clips of one shape; infinite when equal."""
    error = float(((a.astype("float64") - b.astype("float64")) ** 2).mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
