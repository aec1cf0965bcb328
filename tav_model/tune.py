"""One-shot tuning of a base model on one clip (section 4.2 of arXiv 2212.11565)."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tav_model.adapter import adapter_of, apply_adapter, reset_adapter
from tav_model.config import TuneConfig
from tav_model.control import Steering
from tav_model.errors import NonFiniteLossError
from tav_model.finite import remedy
from tav_model.frames import to_model_range
from tav_model.load import BaseModel
from tav_model.memory import peak_bytes, reset_peak
from tav_model.state import TuneState, adam_tensors, check_same_run, to_host
from tav_model.text import check_prompt, encode_prompts
from tav_model.trainer import Trainer
from tav_model.unet import ClipUNet
from tav_model.vae import Moments, encode_moments, sample_latents

_FETCH_EVERY = {"cuda": 10}
"""Steps between looks at the losses: each look makes the host wait for the GPU."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneResult:
    """What one tuning gives. The model keeps the tuned values until it is reset or tuned again."""

    adapter: dict[str, Tensor]
    """fp32 CPU tensors by state-dict name."""
    losses: list[float]
    """One per step, each at its own random noise level; none where there were no steps."""
    num_params: int
    """Numbers in the adapter."""
    peak_bytes: int
    """CUDA: most memory allocated during the tuning. CPU: most resident memory of the process."""
    metadata: dict[str, str]
    """For `save_adapter`: base_identity, prompt, seed and the numbers of the config."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TunedClip:
    """One clip of several of one subject."""

    clip: Moments | NDArray[np.uint8]
    """Its VAE posterior, or its frames (F, H, W, 3) uint8 RGB."""
    prompt: str
    """What it shows."""
    steering: Steering | None = None
    """Controls with its maps, at work at every noise level."""


def tune(  # noqa: PLR0913 - one call says all of a tuning
    base: BaseModel,
    clip: Moments | NDArray[np.uint8],
    prompt: str,
    config: TuneConfig,
    *,
    seed: int,
    on_step: Callable[[int, float], None] | None = None,
    on_checkpoint: Callable[[TuneState], None] | None = None,
    resume: TuneState | Path | None = None,
    steering: Steering | None = None,
    others: Sequence[TunedClip] = (),
) -> TuneResult:
    """Tune the model on one clip, from its initial weights whatever was tuned before.

    With others each step is on one of all, drawn at random.

    Args:
        base: the base model; its tuned parameters are changed in place.
        clip: the clip's VAE posterior, or its frames (F, H, W, 3) uint8 RGB.
        prompt: what the clip shows.
        config: steps and the optimiser's numbers.
        seed: seeds the one CPU generator of all draws (clip, posterior, noise, timestep).
        on_step: called with (step, loss), steps counted from 1; on a GPU ten at a time.
        on_checkpoint: called every `config.checkpoint_every` steps.
        resume: a state of this same run, or the file of one; on the same device and software the
            result is bit-equal to an uninterrupted run's (on CUDA under
            `torch.use_deterministic_algorithms`).
        steering: controls with the clip's maps, at work at every noise level.
        others: more clips of one subject; their order counts.

    Returns:
        The adapter and how the tuning went.

    Raises:
        ValueError: the base was loaded to tune other parameters than `config.parameters`.
        PromptError: a prompt is empty or over the text encoder's limit.
        NonFiniteLossError: the loss became NaN or infinite.
        CheckpointError: the state cannot be read, or is of another run.
    """
    if config.parameters != base.unet.tuned:
        msg = (
            f"tune.parameters is {config.parameters!r}, but the base was loaded to tune "
            f"{base.unet.tuned!r}. Load it with load_base(..., {config.parameters!r})."
        )
        raise ValueError(msg)
    clips = [TunedClip(clip=clip, prompt=prompt, steering=steering), *others]
    for one in clips:
        check_prompt(base.tokenizer, one.prompt)
    shown = [_shown(base, one) for one in clips]
    state = TuneState.load(resume) if isinstance(resume, Path) else resume
    run = _run_of(base, [one.prompt for one in clips], seed, config)
    generator = torch.Generator().manual_seed(seed)
    reset_adapter(base)
    _set_checkpointing(base.unet, on=config.gradient_checkpointing)
    trainer = Trainer(base.unet, base.scheduler, config)
    losses: list[float] = []
    if state is not None:
        check_same_run(state, run)
        apply_adapter(base, state.parameters)
        trainer.restore(state)
        generator.set_state(state.rng)
        losses = state.losses.tolist()
    reset_peak(base.device)
    pending: list[Tensor] = []
    every = _FETCH_EVERY.get(base.device.type, 1)
    for step in range(len(losses) + 1, config.steps + 1):
        moments, text, trainer.steering = _drawn(shown, generator)
        pending.append(_draw_and_step(trainer, moments, text, generator))
        due = config.checkpoint_every > 0 and step % config.checkpoint_every == 0
        if step % every == 0 or due or step == config.steps:
            _fetch(pending, losses, base.dtype, on_step)
        if due and on_checkpoint is not None:
            on_checkpoint(_state_of(trainer, generator, losses, run))
    adapter = adapter_of(base)
    return TuneResult(
        adapter=adapter,
        losses=losses,
        num_params=sum(t.numel() for t in adapter.values()),
        peak_bytes=peak_bytes(base.device),
        metadata=run,
    )


_Shown = tuple[Moments, Tensor, Steering | None]
"""What a step sees of a clip: its posterior, its prompt (1, L, C), and what steers it."""


def _shown(base: BaseModel, one: TunedClip) -> _Shown:
    clip = one.clip
    moments = clip if isinstance(clip, Moments) else encode_moments(base, to_model_range(clip))
    return moments, encode_prompts(base, [one.prompt]), one.steering


def _drawn(shown: Sequence[_Shown], generator: torch.Generator) -> _Shown:
    """The clip of a step; of one alone nothing is drawn."""
    if len(shown) == 1:
        return shown[0]
    return shown[int(torch.randint(0, len(shown), (1,), generator=generator))]


def _draw_and_step(
    trainer: Trainer, moments: Moments, text: Tensor, generator: torch.Generator
) -> Tensor:
    """Draw latents, noise, noise level and, of a long clip, a window, always in this order.

    Returns:
        The loss.
    """
    latents = sample_latents(moments, generator)[None]
    noise = torch.randn(latents.shape, generator=generator)
    levels = trainer.scheduler.config.num_train_timesteps
    timesteps = torch.randint(0, levels, (1,), generator=generator)
    windows, frames, seen = trainer.unet.windows, latents.shape[2], None
    if windows is not None and windows.divides(frames):
        start = torch.randint(0, frames - windows.frames + 1, (1,), generator=generator)
        seen = torch.tensor(windows.seen(int(start)))
        latents, noise = latents[:, :, seen.to(latents.device)], noise[:, :, seen]
    device = latents.device
    frames_F = None if seen is None else seen.to(device)
    return trainer.step(latents, noise.to(device), timesteps.to(device), text, frames_F)[0]


def _fetch(
    pending: list[Tensor],
    losses: list[float],
    dtype: torch.dtype,
    on_step: Callable[[int, float], None] | None,
) -> None:
    """Move losses from the device to the host and look at them."""
    for loss in torch.stack(pending).tolist():
        losses.append(loss)
        if not np.isfinite(loss):
            msg = f"the loss became {loss} at step {len(losses)} in {dtype}: " + remedy(
                dtype, "lower tune.learning_rate or tune.max_grad_norm"
            )
            raise NonFiniteLossError(msg)
        if on_step is not None:
            on_step(len(losses), loss)
    pending.clear()


def _state_of(
    trainer: Trainer, generator: torch.Generator, losses: list[float], run: dict[str, str]
) -> TuneState:
    optimizer, names = trainer.optimizer, trainer.names
    return TuneState(
        step=len(losses),
        parameters=to_host(dict(zip(names, trainer.parameters, strict=True))),
        exp_avg=adam_tensors(optimizer, names, "exp_avg"),
        exp_avg_sq=adam_tensors(optimizer, names, "exp_avg_sq"),
        adam_step=adam_tensors(optimizer, names, "step"),
        rng=generator.get_state(),
        losses=torch.tensor(losses, dtype=torch.float32),
        scaler=trainer.scaler.state_dict(),
        run=run,
    )


def _run_of(
    base: BaseModel, prompts: Sequence[str], seed: int, config: TuneConfig
) -> dict[str, str]:
    values = asdict(config)
    # As in content keys: what was added later counts where it is used.
    rules = {f.name: (f.metadata.get("key", True), f.default) for f in fields(config)}
    key_fields = [
        name
        for name, (rule, default) in rules.items()
        if rule and (rule != "unless default" or values[name] != default)
    ]
    numbers = {name: str(values[name]) for name in key_fields}
    precision, window = base.config.dtype, base.unet.windows
    return {
        "base_identity": base.identity,
        "prompt": prompts[0] if len(prompts) == 1 else json.dumps(prompts),
        "seed": str(seed),
        "dtype": precision,
        "attention_mode": base.config.attention_mode,
        **({} if window is None else {"window": f"{window.frames} {window.overlap}"}),
        **numbers,
    }


def _set_checkpointing(unet: ClipUNet, *, on: bool) -> None:
    if on:
        unet.enable_gradient_checkpointing()
    else:
        unet.disable_gradient_checkpointing()
