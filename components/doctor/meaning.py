"""Whether a base's parts understand each other, measured: by how well it predicts noise.

Of a noised picture a diffusion model predicts the noise best when it is told what the picture shows
(arXiv 2303.16203 makes a classifier of that), and when the noise is what its schedule says. Eight
drawn pictures that differ in all they show are held against eight captions; a text encoder of
another model, an overridden schedule and another model's VAE each leave a mark. These are symptoms
and no proofs: a base that knows no drawn pictures may show some of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from components.doctor.finding import Finding
from components.doctor.models import STABLE_DIFFUSION
from tav_model.schedule import SCHEDULER_FILE
from tinyworld.draw import stills
from tinyworld.scenes import SIZE, single

if TYPE_CHECKING:
    from torch import Tensor

    from components.config import RunConfig
    from methods.method import Frames
    from tav_model.load import BaseModel

_WORDS = (
    *(("red", "fish", "sea"), ("yellow", "car", "sand"), ("blue", "house", "snow")),
    *(("green", "star", "road"), ("orange", "ball", "grass"), ("purple", "boat", "snow")),
    *(("pink", "house", "road"), ("blue", "car", "grass")),
)
SCENES = tuple(
    single(color=color, shape=shape, background=background, seed=seed)
    for seed, (color, shape, background) in enumerate(_WORDS)
)
"""What is drawn."""
_LEVELS = (0.3, 0.5, 0.7)
"""Of the training steps: where noise hides the picture, and not all of it."""
_LEAST_RIGHT = 4
"""Of the eight; by chance so many are right in one of a hundred bases."""
_LEAST_CHANGE = 1e-4
"""Of the prediction's error, between captions."""
_BETTER = 0.9
"""What another schedule's error must be below, as part of the file's own."""
_NOTHING = 0.9
"""Mean squared error of noise (or velocity) of variance 1: predicting nothing gives 1."""
_LEAST_PSNR = 20.0
"""dB; a VAE's way there and back of a drawn picture gives 28 or more."""
_SPREAD = (0.25, 4.0)
"""Of scaled latents, which are made to have about 1."""

_DDPM = {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
_OTHERS: Mapping[str, Mapping[str, Any]] = {
    "Stable Diffusion's betas and epsilon": STABLE_DIFFUSION,
    "Stable Diffusion's betas and v_prediction": {
        **STABLE_DIFFUSION,
        "prediction_type": "v_prediction",
    },
    "DDPM's linear betas and epsilon": {**STABLE_DIFFUSION, **_DDPM},
}
"""Schedules that a base may have been trained with."""


def resized(frames: Frames, width: int, height: int) -> Frames:
    """Drawn frames (F, 64, 64, 3) at another size, squashed where it is no square."""
    from PIL import Image

    if (width, height) == (SIZE, SIZE):
        return frames
    pictures = [
        Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC) for frame in frames
    ]
    return np.stack([np.asarray(picture) for picture in pictures])


def meaning(model: BaseModel, config: RunConfig) -> Iterator[Finding]:
    """Hold pictures against captions, and the base's schedule against others.

    Args:
        model: The base, not tuned.
        config: Of the variant; its size counts.

    Raises:
        NonFiniteError: the VAE gave NaN or infinity.
    """
    from methods.tune_a_video import psnr
    from tav_model.frames import to_model_range
    from tav_model.text import encode_prompts
    from tav_model.vae import decode, encode_moments, mean_latents

    pictures = resized(stills(SCENES), config.video.width, config.video.height)
    latents_CFHW = mean_latents(encode_moments(model, to_model_range(pictures)))
    yield _vae(psnr(decode(model, latents_CFHW), pictures), float(latents_CFHW.std()))
    pictures_BCFHW = latents_CFHW.transpose(0, 1)[:, :, None].contiguous()
    text = encode_prompts(model, [scene.caption(motion=False) for scene in SCENES])
    errors = np.stack(
        [
            _errors(
                model, pictures_BCFHW, one[None].expand(len(SCENES), -1, -1), [model.scheduler]
            )[0]
            for one in text
        ],
        axis=1,
    )
    told = _text(errors)
    yield told
    yield _prediction(model, pictures_BCFHW, text, judge=told.level == "ok")


def _vae(found: float, spread: float) -> Finding:
    words = f"drawn pictures come back with {found:.1f} dB; latents spread by {spread:.2f}"
    if found >= _LEAST_PSNR and _SPREAD[0] <= spread <= _SPREAD[1]:
        return Finding("base", "VAE there and back", words)
    return Finding(
        *("base", "VAE there and back", words, "fail"),
        f"at least {_LEAST_PSNR:.0f} dB and a spread near 1 are usual: the VAE is damaged or its "
        "scaling_factor another model's; take it from the base's original",
    )


def _text(errors: np.ndarray[Any, Any]) -> Finding:
    """Judge by (picture, caption) errors of prediction."""
    own = float(errors.diagonal().mean())
    others = float((errors.sum() - errors.diagonal().sum()) / (errors.size - len(errors)))
    right = int((errors.argmin(axis=1) == np.arange(len(errors))).sum())
    found = (
        f"{right} of {len(errors)} pictures are denoised best with their own caption (error "
        f"{own:.3g}, with others' {others:.3g})"
    )
    check = "text encoder"
    remedy = (
        "a symptom and no proof: the text encoder or tokenizer is another model's than the UNet; "
        "take unet, text_encoder and tokenizer from one model"
    )
    change = float((errors.std(axis=1) / errors.mean(axis=1)).mean())
    if not np.isfinite(errors).all() or change < _LEAST_CHANGE:
        return Finding("base", check, f"captions change next to nothing; {found}", "fail", remedy)
    if right < _LEAST_RIGHT:
        return Finding("base", check, found, "fail", remedy)
    return Finding("base", check, found)


def _prediction(model: BaseModel, pictures: Tensor, text: Tensor, *, judge: bool) -> Finding:
    """Whether the base predicts well under its own schedule, and no other does better."""
    from diffusers import DDIMScheduler

    steps = model.scheduler.config.num_train_timesteps
    made = {
        name: DDIMScheduler(**{**settings, "num_train_timesteps": steps})
        for name, settings in _OTHERS.items()
    }
    errors = _errors(model, pictures, text, [model.scheduler, *made.values()]).mean(axis=1)
    own, best = float(errors[0]), int(errors[1:].argmin())
    found = f"error {own:.3g} under the file's own (nothing predicted: 1)"
    better, name = float(errors[1:][best]), list(made)[best]
    check = "noise schedule"
    if better < _BETTER * own and judge:
        return Finding(
            *("base", check, f"{found}, but {better:.3g} under {name}", "fail"),
            f"the scheduler was overridden: give {SCHEDULER_FILE} the values that the base was "
            "trained with",
        )
    if not own < _NOTHING:
        return Finding(
            *("base", check, found, "fail"),
            "the UNet does not know these latents: its weights, the VAE or the prediction_type "
            "are another model's; take all parts from one model",
        )
    return Finding("base", check, found)


def _errors(
    model: BaseModel, pictures_BCFHW: Tensor, text_BLC: Tensor, schedulers: list[Any]
) -> np.ndarray[Any, Any]:
    """Mean squared errors of prediction over levels of noise, (schedulers, B); equal draws each."""
    import torch

    generator = torch.Generator().manual_seed(0)
    total = torch.zeros(len(schedulers), len(pictures_BCFHW))
    with torch.no_grad():
        for level in _LEVELS:
            noise = torch.randn(pictures_BCFHW.shape, generator=generator).to(model.device)
            steps = schedulers[0].config.num_train_timesteps
            timesteps = torch.full((len(noise),), int(level * steps), device=model.device)
            for number, scheduler in enumerate(schedulers):
                noisy = scheduler.add_noise(pictures_BCFHW, noise, timesteps)
                target = noise
                if scheduler.config.prediction_type == "v_prediction":
                    target = scheduler.get_velocity(pictures_BCFHW, noise, timesteps)
                error = (model.unet(noisy, timesteps, text_BLC) - target) ** 2
                total[number] += error.float().mean((1, 2, 3, 4)).cpu() / len(_LEVELS)
    found: np.ndarray[Any, Any] = total.numpy()
    return found
