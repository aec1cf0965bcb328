"""Tune-A-Video (arXiv 2212.11565): one-shot tuning, DDIM inversion, sampling with guidance.

The product's own method. Its sections of the configuration are ``tune``, ``invert`` and ``sample``.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from typing_extensions import override

from methods.method import (
    ADAPTER,
    LATENTS,
    Artefact,
    Cost,
    Desk,
    Edit,
    Frames,
    Method,
    Passes,
    Prepared,
    Source,
    Stage,
)

if TYPE_CHECKING:
    from tav_model.load import BaseModel
    from tav_model.state import TuneState
    from tav_model.vae import Moments

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneAVideoConfig:
    """Nothing of its own: see ``tune``, ``invert`` and ``sample``."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


class TuneAVideo(Method):
    """Tunes an adapter for each video and samples edits from the inverted clip."""

    Config = TuneAVideoConfig

    _base: BaseModel
    _adapted: Path | None = None
    """The adapter that is in the model; each is loaded once for all edits of a video."""

    @override
    def stages(self) -> Sequence[Stage]:
        settings = self.settings
        # Where the base lies does not matter, only what it is: its revision is in every key.
        model = dataclasses.replace(settings.model, base="-", revision=None)
        tuned = settings.tune.steps > 0
        adapter = Stage(
            kind=ADAPTER, parts={"model": model, "tune": settings.tune}, long=tuned, kept=tuned
        )
        inverted = settings.sample.start == "inversion"
        return (adapter, Stage(kind=LATENTS, parts={"invert": settings.invert}, kept=inverted))

    @override
    def key_parts(self) -> Mapping[str, Any]:
        return {"sample": self.settings.sample}

    @override
    def schedule_steps(self) -> Mapping[str, int]:
        settings = self.settings
        return {"invert.steps": settings.invert.steps, "sample.steps": settings.sample.steps}

    @override
    def cost(self) -> Cost:
        settings = self.settings
        guidance = 2 if settings.sample.guidance_scale > 1 else 1
        return Cost(
            stages={
                ADAPTER: Passes(train=settings.tune.steps),
                # There, and back again for the reconstruction.
                LATENTS: Passes(inversion=2 * settings.invert.steps, encode=1, decode=1),
            },
            edit=Passes(
                guided=guidance * settings.sample.steps,
                decode=1,
                rows=guidance * settings.sample.prompts_per_batch,
            ),
        )

    @property
    @override
    def batch(self) -> int:
        return self.settings.sample.prompts_per_batch

    @override
    def load(self) -> None:
        from tav_model.load import load_base

        self._base = load_base(self.settings.model)

    @override
    def check_prompt(self, prompt: str) -> None:
        from tav_model.text import check_prompt

        check_prompt(self._base.tokenizer, prompt)

    @override
    def prepare(
        self, source: Source, prepared: Prepared, wanted: Sequence[str], desk: Desk
    ) -> Iterator[Artefact]:
        from tav_model.frames import to_model_range
        from tav_model.vae import encode_moments

        self._adapted = None
        moments = encode_moments(self._base, to_model_range(source.frames))
        if ADAPTER in wanted:
            yield self._tune(source, moments, desk)
        else:
            self._adapt(prepared)
        if LATENTS in wanted:
            yield self._invert(source, moments)

    @override
    def edit(self, source: Source, edits: Sequence[Edit], prepared: Prepared) -> Iterator[Frames]:
        import torch

        from tav_model.sample import sample
        from tav_model.vae import decode

        self._adapt(prepared)
        # Of use where sampling starts from noise: all edits of a video then share theirs.
        generator = torch.Generator().manual_seed(source.seed)
        start = torch.tensor(self._start(source, prepared), dtype=torch.float32)
        prompts = [edit.prompt for edit in edits]
        for latents in sample(
            self._base, start, prompts, self.settings.sample, generator=generator
        ):
            yield decode(self._base, latents)

    def _adapt(self, prepared: Prepared) -> None:
        """Put the video's adapter into the model; without tuning, the model's initial weights."""
        from tav_model.adapter import load_adapter, reset_adapter

        path: Path | None = prepared.get(ADAPTER)
        if path is None:
            reset_adapter(self._base)
        elif path != self._adapted:
            load_adapter(self._base, path)
        self._adapted = path

    def _start(self, source: Source, prepared: Prepared) -> np.ndarray[Any, Any]:
        """Inverted latents (C, F, H, W); where sampling starts from noise, only their shape."""
        if LATENTS in prepared:
            latents: np.ndarray[Any, Any] = prepared[LATENTS]
            return latents
        frames, height, width, _ = source.frames.shape
        factor = 2 ** (len(self._base.vae.config.block_out_channels) - 1)
        channels = self._base.vae.config.latent_channels
        return np.zeros((channels, frames, height // factor, width // factor), np.float16)

    def _tune(self, source: Source, moments: Moments, desk: Desk) -> Artefact:
        from tav_model.adapter import save_adapter
        from tav_model.tune import tune

        config = self.settings.tune
        state_path = desk.folder / "state.safetensors"

        def on_checkpoint(state: TuneState) -> None:
            state.save(state_path)
            desk.checkpoint.write(state_path)

        result = tune(
            self._base,
            moments,
            source.prompt,
            config,
            seed=source.seed,
            on_step=lambda step, loss: desk.progress(step, config.steps, loss),
            on_checkpoint=on_checkpoint,
            resume=_load_state(desk, source.video_id),
        )
        path = desk.folder / "adapter.safetensors"
        revision = {"base_revision": self.settings.base_revision}
        save_adapter(path, result.adapter, {**result.metadata, **revision})
        return Artefact(
            kind=ADAPTER,
            path=path,
            facts={
                "steps": config.steps,
                "num_params": result.num_params,
                "final_loss": result.losses[-1] if result.losses else None,
                "peak_bytes": result.peak_bytes,
            },
        )

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


def _load_state(desk: Desk, video_id: str) -> TuneState | None:
    from tav_model.errors import CheckpointError
    from tav_model.state import TuneState

    path = desk.folder / "resume.safetensors"
    if not desk.checkpoint.read(path):
        return None
    try:
        state = TuneState.load(path)
    except CheckpointError as error:
        # Only time is lost by starting over, and the same bytes come out.
        logger.warning("video_id=%s checkpoint unusable, tuning from step 0: %s", video_id, error)
        return None
    logger.info("video_id=%s resuming at step %d", video_id, state.step)
    return state


def psnr(a: Frames, b: Frames) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 clips of one shape; infinite when equal."""
    error = float(((a.astype("float64") - b.astype("float64")) ** 2).mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
