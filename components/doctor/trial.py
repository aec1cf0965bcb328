"""A small tuning for real: ten steps on a clip, its inversion there and back, and one edit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from components.doctor.finding import Finding, failed
from components.doctor.meaning import SCENES, resized
from methods.method import Frames
from tinyworld.draw import render

if TYPE_CHECKING:
    from components.config import RunConfig
    from tav_model.load import BaseModel
    from tav_model.vae import Moments

STEPS = 10
_LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Of the training steps: where the loss is measured before and after, with equal noise."""
_WORSE = 1.1
"""Loss after as part of that before."""
_LEAST_PSNR = 20.0
"""dB of a clip that came back."""
_MOST_LOST = 8.0
"""dB that inversion may lose beside what the VAE loses anyway."""
_BLACK, _FLAT = 8.0, 2.0
"""Mean level of a black frame, standard deviation of a constant one; of 255."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialClip:
    """What is tuned on."""

    name: str
    frames: Frames
    """(F, H, W, 3), RGB."""
    prompt: str
    """What it shows."""


def drawn_clip(config: RunConfig) -> TrialClip:
    """A drawn clip of the size and length of a variant's."""
    video, scene = config.video, SCENES[0]
    frames = resized(render(scene, video.num_frames).frames, video.width, video.height)
    return TrialClip(name="a drawn clip", frames=frames, prompt=scene.caption())


def trial(model: BaseModel, config: RunConfig, clip: TrialClip) -> Iterator[Finding]:
    """Tune, invert and sample, with the variant's own settings but for the tuning's steps.

    Args:
        model: The base; its tuned weights are changed.
        config: Of the variant.
        clip: What to tune on.

    Raises:
        TavModelError: a loss or result is NaN or infinite, or the prompt cannot be used.
    """
    from tav_model.frames import to_model_range
    from tav_model.tune import tune
    from tav_model.vae import encode_moments

    moments = encode_moments(model, to_model_range(clip.frames))
    before = _loss(model, moments, clip.prompt, config)
    steps = min(STEPS, config.tune.steps)
    settings = dataclasses.replace(config.tune, steps=steps, checkpoint_every=0)
    if model.initial:
        tune(model, moments, clip.prompt, settings, seed=config.seed)
    yield _tuning(before, _loss(model, moments, clip.prompt, config), steps)
    latents, told = _inversion(model, config, clip, moments)
    yield told
    yield _sampling(model, config, latents)


def _loss(model: BaseModel, moments: Moments, prompt: str, config: RunConfig) -> float:
    """Mean loss of a clip at fixed levels of noise, with equal draws each time."""
    import torch

    from tav_model.text import encode_prompts
    from tav_model.trainer import Trainer
    from tav_model.vae import mean_latents

    trainer = Trainer(model.unet, model.scheduler, config.tune)
    latents = mean_latents(moments)[None]
    text, generator = encode_prompts(model, [prompt]), torch.Generator().manual_seed(config.seed)
    total = 0.0
    with torch.no_grad():
        for level in _LEVELS:
            noise = torch.randn(latents.shape, generator=generator).to(model.device)
            step = int(level * model.scheduler.config.num_train_timesteps)
            timesteps = torch.tensor([step], device=model.device)
            total += float(trainer.loss(latents, noise, timesteps, text)) / len(_LEVELS)
    return total


def _tuning(before: float, after: float, steps: int) -> Finding:
    check, found = f"tuning, {steps} steps", f"loss {before:.4f} before, {after:.4f} after"
    if not np.isfinite([before, after]).all():
        return Finding("trial", check, found, "fail", "set model.dtype to fp32 or bf16")
    if after > before * _WORSE:
        return Finding("trial", check, found, "fail", "it unlearns: lower tune.learning_rate")
    return Finding("trial", check, found)


def _inversion(
    model: BaseModel, config: RunConfig, clip: TrialClip, moments: Moments
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float32]], Finding]:
    """The clip's inverted latents (C, F, H, W), and how well sampling leads back to the clip."""
    from methods.tune_a_video import psnr
    from tav_model.config import SampleConfig
    from tav_model.invert import invert
    from tav_model.sample import sample
    from tav_model.vae import decode, mean_latents

    latents = mean_latents(moments)
    inverted = invert(model, latents, config.invert)
    back = SampleConfig(steps=config.invert.steps, guidance_scale=1.0)
    (returned,) = sample(model, inverted, [clip.prompt], back)
    vae = psnr(decode(model, latents), clip.frames)
    whole = psnr(decode(model, returned), clip.frames)
    check = f"inversion, {config.invert.steps} steps"
    found = f"{clip.name} comes back with {whole:.1f} dB; the VAE alone gives {vae:.1f} dB"
    told = Finding("trial", check, found)
    if vae < _LEAST_PSNR:
        told = Finding(
            *("trial", check, f"does not come back: {found}", "fail"),
            "the VAE cannot hold this clip (noise, flicker, fine detail): give a cleaner or larger "
            "one; if drawn clips fare alike, the VAE is another model's",
        )
    elif whole < _LEAST_PSNR or vae - whole > _MOST_LOST:
        told = Finding(
            *("trial", check, f"does not come back: {found}", "fail"),
            "raise invert.steps, lower tune.learning_rate, or give a prompt that says what the "
            "clip shows; see also the noise schedule above",
        )
    return inverted.float().cpu().numpy(), told


def _sampling(
    model: BaseModel, config: RunConfig, latents: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> Finding:
    """Whether an edit gives frames that are finite, not black and not constant."""
    import torch

    from tav_model.errors import NonFiniteError
    from tav_model.sample import sample
    from tav_model.vae import decode

    settings = config.sample
    check = f"sampling, {settings.steps} steps, guidance {settings.guidance_scale:g}"
    generator = torch.Generator().manual_seed(config.seed)
    start = torch.tensor(latents)
    try:
        (made,) = sample(model, start, [SCENES[1].caption()], settings, generator=generator)
        frames = decode(model, made)
    except NonFiniteError as error:
        return failed("trial", check, error)
    level, spread = frames.mean((1, 2, 3)), frames.std((1, 2, 3))
    black, flat = int((level < _BLACK).sum()), int((spread < _FLAT).sum())
    if black or flat:
        return Finding(
            *("trial", check, f"of {len(frames)} frames {black} black, {flat} constant", "fail"),
            "lower sample.guidance_scale; if that does not help, the base is damaged, or its VAE "
            "another model's",
        )
    found = f"finite frames, mean level {level.mean():.0f}, spread {spread.mean():.0f} of 255"
    return Finding("trial", check, found)
