"""Sampling of edited prompts with classifier-free guidance (arXiv 2207.12598).

The ways through the noise are those of `tav_model.solvers`.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tav_model.config import SampleConfig
from tav_model.control import Steering
from tav_model.finite import check_finite
from tav_model.load import BaseModel
from tav_model.residuals import Added
from tav_model.solvers import solver_of
from tav_model.text import check_prompt, encode_prompts


@torch.no_grad()
def sample(
    base: BaseModel,
    start_latents_CFHW: Tensor,
    prompts: Sequence[str],
    config: SampleConfig,
    *,
    skip: int = 0,
    on_step: Callable[[int, int], None] | None = None,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
    steering: Steering | None = None,
) -> Tensor:
    """Sample one edit of a clip per prompt, all from the same start.

    Must agree with the official pipeline: negative before positive in the batch, eta 0.

    Args:
        base: the tuned model, or an image model.
        start_latents_CFHW: (C, F, H, W), the clip's inverted latents; with `start="noise"` only its
            shape is used.
        prompts: P edited prompts.
        config: steps, guidance, negative prompt, start.
        skip: steps left out at the noisy end, where the start is less noisy.
        on_step: called with (UNet calls done, UNet calls in all).
        generator: CPU generator of `start="noise"`: one for all prompts, which then share their
            noise, or one per prompt, which makes an edit independent of its neighbours.
        steering: controls with the clip's maps, and what is kept of it.

    Returns:
        (P, C, F, H, W) fp32 on the model's device; decode them with `tav_model.vae.decode`.

    Raises:
        PromptError: a prompt is empty or over the text encoder's limit.
        ValueError: no prompt, or no generator where the start is noise.
        NonFiniteError: the latents became NaN or infinite.
    """
    if not prompts:
        msg = "sample() got no prompt; it needs at least one."
        raise ValueError(msg)
    for prompt in prompts:
        check_prompt(base.tokenizer, prompt)
    start = _start(start_latents_CFHW, len(prompts), config, generator).to(base.device)
    text = encode_prompts(base, [config.negative_prompt, *prompts])
    steps = config.steps - skip
    batches = range(0, len(prompts), config.at_once)
    calls = len(batches) * steps
    out = []
    for n, i in enumerate(batches):
        batch = slice(i, i + config.at_once)
        done = n * steps
        report = None if on_step is None else (lambda k, d=done, f=on_step: f(d + k, calls))
        out.append(
            denoise(
                base,
                start[batch],
                torch.cat([text[:1], text[1:][batch]]),
                config,
                skip=skip,
                on_step=report,
                steering=steering,
            )
        )
    latents = torch.cat(out)
    check_finite(latents, "sampling", base.dtype, otherwise(base))
    return latents


def denoise(
    base: BaseModel,
    x_BCFHW: Tensor,
    text: Tensor,
    config: SampleConfig,
    *,
    skip: int = 0,
    on_step: Callable[[int], None] | None = None,
    on_latents: Callable[[Tensor], None] | None = None,
    steering: Steering | None = None,
) -> Tensor:
    """Run the loop of steps on one batch.

    Args:
        base: the tuned model.
        x_BCFHW: (B, C, F, H, W) fp32 start.
        text: (1 + B, L, C) embeddings: of what guidance moves away from, and of the prompts.
        config: steps, solver and guidance.
        skip: steps left out at the noisy end.
        on_step: called with the number of steps done.
        on_latents: called with the latents after each step.
        steering: controls with the clip's maps, and what is kept of it.

    Returns:
        (B, C, F, H, W) fp32.
    """
    both = torch.cat([text[:1].expand(len(x_BCFHW), -1, -1), text[1:]])
    scheduler = solver_of(base, config)
    host_timesteps: list[int] = scheduler.timesteps.tolist()[skip:]
    timesteps = torch.tensor(host_timesteps, device=base.device)
    for i, t in enumerate(host_timesteps):
        guided = config.guided(skip + i)
        prediction = predict(
            base,
            x_BCFHW,
            timesteps[i],
            both if guided else text[1:],
            config.guidance_scale if guided else 1.0,
            None if steering is None else steering.step(skip + i, config.steps),
        )
        x_BCFHW = scheduler.step(prediction, t, x_BCFHW, return_dict=False)[0]
        if steering is not None:
            x_BCFHW = steering.after(skip + i, x_BCFHW)
        if on_latents is not None:
            on_latents(x_BCFHW)
        if on_step is not None:
            on_step(i + 1)
    return x_BCFHW


def predict(
    base: BaseModel,
    x_BCFHW: Tensor,
    timestep: Tensor,
    text: Tensor,
    guidance_scale: float,
    added: Added | None = None,
) -> Tensor:
    """Predict the noise (or velocity) with classifier-free guidance.

    Args:
        base: the tuned model, or an image model.
        x_BCFHW: (B, C, F, H, W) fp32 latents.
        timestep: a number, on the model's device.
        text: (2 * B, L, C), the negative prompts' embeddings first, or (B, L, C) without guidance.
        guidance_scale: above 1 with guidance.
        added: gives what controls add, of what the UNet is given.

    Returns:
        (B, C, F, H, W) fp32.
    """
    guided = guidance_scale > 1
    x = torch.cat([x_BCFHW, x_BCFHW]) if guided else x_BCFHW
    found: Tensor = base.unet(x, timestep, text, added)
    if guided:
        low, high = found.chunk(2)
        return low + guidance_scale * (high - low)
    return found


def otherwise(base: BaseModel) -> str:
    """What to do about sampling that gives NaN or infinity in any dtype."""
    return (
        "lower tune.learning_rate or sample.guidance_scale"
        if base.initial
        else "lower the method's guidance_scale"
    )


def _start(
    latents_CFHW: Tensor,
    count: int,
    config: SampleConfig,
    generator: torch.Generator | Sequence[torch.Generator] | None,
) -> Tensor:
    """Give (P, C, F, H, W) fp32 starting latents."""
    shape = (count, *latents_CFHW.shape)
    if config.start == "inversion":
        return latents_CFHW.float()[None].expand(shape)
    if generator is None:
        msg = "start='noise' needs a seeded CPU generator; pass generator=."
        raise ValueError(msg)
    if isinstance(generator, torch.Generator):
        return torch.randn(latents_CFHW.shape, generator=generator)[None].expand(shape)
    if len(generator) != count:
        msg = (
            f"{len(generator)} generators for {count} prompts; pass one per prompt, or one for all."
        )
        raise ValueError(msg)
    return torch.stack([torch.randn(latents_CFHW.shape, generator=g) for g in generator])
