"""DDIM inversion: the noise that a clip's latents come from (section 4.2; arXiv 2010.02502)."""

import inspect
from collections.abc import Callable

import torch
from diffusers import DDIMInverseScheduler
from torch import Tensor

from tav_model.config import InvertConfig
from tav_model.finite import check_finite
from tav_model.load import BaseModel
from tav_model.text import encode_prompts

_UNTUNED = "the base model's weights are damaged"


@torch.no_grad()
def invert(
    base: BaseModel,
    latents_CFHW: Tensor,
    config: InvertConfig,
    *,
    prompt: str = "",
    all_steps: bool = False,
    on_step: Callable[[int, int], None] | None = None,
    on_latents: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Walk a clip's latents to noise, with the empty prompt and without guidance.

    Must agree with the official code at every step: the UNet is asked at the timestep that a step
    leads to. A v-prediction is converted, which the official code forgets.

    Args:
        base: the tuned model, or an image model.
        latents_CFHW: (C, F, H, W), scaled as the UNet's.
        config: how many steps.
        prompt: the text in place of none, which some methods ask for.
        all_steps: return every step's latents, not only the last.
        on_step: called with (steps done, steps in all).
        on_latents: called with each timestep and the latents (C, F, H, W) of its noise level.

    Returns:
        (C, F, H, W) fp32 on the model's device, or (steps + 1, C, F, H, W), the start included.

    Raises:
        NonFiniteError: the latents became NaN or infinite.
    """
    scheduler = inverse_scheduler(base)
    scheduler.set_timesteps(config.steps)
    text = encode_prompts(base, [prompt])
    x = latents_CFHW.to(base.device, torch.float32)[None]
    trace = [x[0]]
    timesteps = scheduler.timesteps.to(base.device)
    # The scheduler gets its timesteps from the host copy: reading them from a GPU would stall it.
    for i, t in enumerate(scheduler.timesteps.tolist()):
        prediction = base.unet(x, timesteps[i], text)
        x = scheduler.step(prediction, t, x, return_dict=False)[0]
        if all_steps:
            trace.append(x[0])
        if on_latents is not None:
            on_latents(t, x[0])
        if on_step is not None:
            on_step(i + 1, config.steps)
    otherwise = "lower tune.learning_rate, or tune.steps" if base.initial else _UNTUNED
    check_finite(x, "inversion", base.dtype, otherwise)
    return torch.stack(trace) if all_steps else x[0]


def inverse_scheduler(base: BaseModel) -> DDIMInverseScheduler:
    """Make the inverse of the model's own schedule.

    Raises:
        ValueError: the schedule clips samples, so that it has no inverse.
    """
    # Of the keys that it has itself: it would log the others, which change nothing here.
    known = inspect.signature(DDIMInverseScheduler.__init__).parameters
    config = {key: value for key, value in base.scheduler.config.items() if key in known}
    scheduler = DDIMInverseScheduler.from_config(config)
    if scheduler.config.clip_sample:
        msg = (
            f"clip_sample={scheduler.config.clip_sample} cannot be inverted: it must be False. "
            "Make the scheduler with tav_model.load.load_scheduler."
        )
        raise ValueError(msg)
    return scheduler
