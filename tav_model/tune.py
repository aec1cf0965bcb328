"""One-shot tuning of a base model on one clip (section 4.2 of arXiv 2212.11565)."""

import functools
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
from tav_model.draws import Draw, draw
from tav_model.errors import NonFiniteLossError
from tav_model.finite import remedy
from tav_model.frames import to_model_range
from tav_model.load import BaseModel
from tav_model.memory import peak_bytes, reset_peak
from tav_model.state import TuneState, adam_tensors, check_same_run, to_host
from tav_model.stopping import Stopper, probe_levels
from tav_model.text import check_prompt, encode_prompts
from tav_model.trainer import Trainer
from tav_model.unet import ClipUNet
from tav_model.vae import Moments, encode_moments

_FETCH_EVERY = {"cuda": 10}
"""Steps between looks at the losses: each look makes the host wait for the GPU."""
_LOOKS_SEED = 1 << 62
"""What the seed of a tuning's looks differs by from that of its steps."""


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
    """For `save_adapter`: base_identity, prompt, seed and the numbers of the config; of a tuning
    that stopped by itself also `stopped`, which says why, and `stopped_at`, its steps."""


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
    checkpoint_due: Callable[[], bool] | None = None,
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
        checkpoint_due: asked after every step; where it says so, there is one at once.
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
    _set_checkpointing(base.unet, on=config.gradient_checkpointing is True)
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
    looks = () if state is None else state.looks.tolist()
    stopper = _stopper(config, trainer, shown, seed, looks)
    reason = "" if stopper is None else stopper.reason
    last = len(losses) if reason else config.steps
    for step in range(len(losses) + 1, last + 1):
        clip_shown = _drawn(shown, generator)
        seen = draw(clip_shown.moments, base.unet, base.scheduler, generator)
        pending.append(_step(trainer, clip_shown, seen))
        if stopper is not None:
            stopper.after(step)
            reason = stopper.reason
        due = config.checkpoint_every > 0 and step % config.checkpoint_every == 0
        due = due or (checkpoint_due is not None and checkpoint_due())
        if step % every == 0 or due or reason or step == config.steps:
            _fetch(pending, losses, base.dtype, on_step)
        if due and on_checkpoint is not None:
            on_checkpoint(_state_of(trainer, generator, losses, stopper, run))
        if reason:
            break
    adapter = adapter_of(base)
    at = len(losses)
    early = {"stopped": reason, "stopped_at": str(at)} if reason and at < config.steps else {}
    return TuneResult(
        adapter=adapter,
        losses=losses,
        num_params=sum(t.numel() for t in adapter.values()),
        peak_bytes=peak_bytes(base.device),
        metadata=run | early,
    )


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a step sees of a clip."""

    moments: Moments
    text: Tensor
    """(1, L, C), of its prompt."""
    steering: Steering | None


def _shown(base: BaseModel, one: TunedClip) -> _Shown:
    clip = one.clip
    moments = clip if isinstance(clip, Moments) else encode_moments(base, to_model_range(clip))
    return _Shown(moments, encode_prompts(base, [one.prompt]), one.steering)


def _drawn(shown: Sequence[_Shown], generator: torch.Generator) -> _Shown:
    """The clip of a step; of one alone nothing is drawn."""
    if len(shown) == 1:
        return shown[0]
    return shown[int(torch.randint(0, len(shown), (1,), generator=generator))]


def _step(trainer: Trainer, one: _Shown, seen: Draw) -> Tensor:
    trainer.steering = one.steering
    return trainer.step(seen.latents_BCFHW, seen.noise, seen.timesteps, one.text, seen.frames)[0]


def _look(trainer: Trainer, one: _Shown, seen: Draw) -> Tensor:
    trainer.steering = one.steering
    return trainer.loss(seen.latents_BCFHW, seen.noise, seen.timesteps, one.text, seen.frames)


def _stopper(
    config: TuneConfig, trainer: Trainer, shown: Sequence[_Shown], seed: int, looks: Sequence[float]
) -> Stopper | None:
    """What looks at the tuning at fixed noise, of several clips in turn; none without a rule."""
    if config.stop is None:
        return None
    generator = torch.Generator().manual_seed(seed ^ _LOOKS_SEED)
    pairs = []
    for number, level in enumerate(probe_levels(config.stop.pairs)):
        one = shown[number % len(shown)]
        seen = draw(one.moments, trainer.unet, trainer.scheduler, generator, level)
        pairs.append(functools.partial(_look, trainer, one, seen))
    return Stopper(config.stop, pairs, looks)


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
    trainer: Trainer,
    generator: torch.Generator,
    losses: list[float],
    stopper: Stopper | None,
    run: dict[str, str],
) -> TuneState:
    optimizer, names = trainer.optimizer, trainer.names
    looks = [] if stopper is None else stopper.looks
    return TuneState(
        step=len(losses),
        parameters=to_host(dict(zip(names, trainer.parameters, strict=True))),
        exp_avg=adam_tensors(optimizer, names, "exp_avg"),
        exp_avg_sq=adam_tensors(optimizer, names, "exp_avg_sq"),
        adam_step=adam_tensors(optimizer, names, "step"),
        rng=generator.get_state(),
        losses=torch.tensor(losses, dtype=torch.float32),
        looks=torch.tensor(looks, dtype=torch.float64),
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
