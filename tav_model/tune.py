"""One-shot tuning of a base model on one clip (section 4.2 of arXiv 2212.11565)."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tav_model.adapter import adapter_of, apply_adapter, reset_adapter
from tav_model.config import TuneConfig
from tav_model.control import Steering
from tav_model.draws import Draw, draw
from tav_model.errors import CheckpointError, NonFiniteLossError
from tav_model.finite import remedy
from tav_model.frames import to_model_range
from tav_model.load import BaseModel
from tav_model.memory import peak_bytes, reset_peak
from tav_model.residuals import Residuals
from tav_model.state import TuneState, adam_tensors, to_host
from tav_model.stopping import Stopper, probe_levels
from tav_model.text import check_prompt, encode_prompts
from tav_model.unet import ClipUNet, tuned_parameters
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


class Trainer:
    """Optimiser, gradient scaler and the step that uses them, over one model's tuned parameters."""

    def __init__(
        self,
        unet: ClipUNet,
        scheduler: DDIMScheduler,
        config: TuneConfig,
        steering: Steering | None = None,
    ) -> None:
        """Make a fresh AdamW over the tuned parameters.

        Args:
            unet: the model to tune.
            scheduler: the noise schedule; its prediction type chooses the target.
            config: the optimiser's numbers.
            steering: frozen controls with the clip's maps, which steer the UNet.
        """
        self.unet = unet
        self.steering = steering
        self.scheduler = scheduler
        self.max_grad_norm = config.max_grad_norm
        tuned = tuned_parameters(unet)
        self.names, self.parameters = list(tuned), list(tuned.values())
        device = self.parameters[0].device.type
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
            eps=config.epsilon,
            fused=device in ("cpu", "cuda"),
        )
        self.scaler = torch.amp.GradScaler(device, enabled=unet.dtype == torch.float16)

    def loss(
        self,
        latents_BCFHW: Tensor,
        noise: Tensor,
        timesteps: Tensor,
        text: Tensor,
        frames: Tensor | None = None,
    ) -> Tensor:
        """Compute the denoising loss, all in fp32 but the UNet's inside.

        Args:
            latents_BCFHW: (B, C, F, H, W) fp32 clean latents.
            noise: the same shape.
            timesteps: (B,) int64.
            text: (B, L, text channels).
            frames: (F,) which of the clip's these are; none is all.

        Returns:
            The mean squared error against the noise, or the velocity for v-prediction models.
        """
        noisy = self.scheduler.add_noise(latents_BCFHW, noise, timesteps)
        target = noise
        if self.scheduler.config.prediction_type == "v_prediction":
            target = self.scheduler.get_velocity(latents_BCFHW, noise, timesteps)
        steering = self.steering

        def added(x: Tensor, t: Tensor | int, text: Tensor, _: object) -> Residuals | None:
            """Of the frames that were drawn, all of which the UNet sees at once."""
            return None if steering is None else steering.everywhere(x, t, text, frames)

        return functional.mse_loss(self.unet(noisy, timesteps, text, added), target)

    def step(
        self,
        latents_BCFHW: Tensor,
        noise: Tensor,
        timesteps: Tensor,
        text: Tensor,
        frames: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Do one optimiser step, without making the host wait for the device.

        Args:
            latents_BCFHW: (B, C, F, H, W) fp32 clean latents.
            noise: the same shape.
            timesteps: (B,) int64.
            text: (B, L, text channels).
            frames: (F,) which of the clip's these are; none is all.

        Returns:
            The loss before the step and the gradients' total norm before clipping.
        """
        loss = self.loss(latents_BCFHW, noise, timesteps, text, frames)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach(), norm

    def restore(self, state: TuneState) -> None:
        """Put optimiser and scaler where a state left them (the model's parameters stay)."""
        for name, p in zip(self.names, self.parameters, strict=True):
            self.optimizer.state[p] = {
                "step": state.adam_step[name].to(p.device, copy=True),
                # In the parameter's own memory format, as AdamW made them: a fused step goes
                # through the memory of all of them side by side.
                "exp_avg": torch.empty_like(p).copy_(state.exp_avg[name]),
                "exp_avg_sq": torch.empty_like(p).copy_(state.exp_avg_sq[name]),
            }
        if state.scaler:
            self.scaler.load_state_dict(dict(state.scaler))


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
) -> TuneResult:
    """Tune the model on one clip, from its initial weights whatever was tuned before.

    Args:
        base: the base model; its tuned parameters are changed in place.
        clip: the clip's VAE posterior, or its frames (F, H, W, 3) uint8 RGB.
        prompt: what the clip shows.
        config: steps and the optimiser's numbers.
        seed: seeds the one CPU generator of all draws (posterior, noise, timestep).
        on_step: called with (step, loss), steps counted from 1; on a GPU ten at a time.
        on_checkpoint: called every `config.checkpoint_every` steps.
        checkpoint_due: asked after every step; where it says so, there is one at once.
        resume: a state of this same run, or the file of one; on the same device and software the
            result is bit-equal to an uninterrupted run's (on CUDA under
            `torch.use_deterministic_algorithms`).
        steering: controls with the clip's maps, at work at every noise level.

    Returns:
        The adapter and how the tuning went.

    Raises:
        ValueError: the base was loaded to tune other parameters than `config.parameters`.
        PromptError: the prompt is empty or over the text encoder's limit.
        NonFiniteLossError: the loss became NaN or infinite.
        CheckpointError: the state cannot be read, or is of another run.
    """
    if config.parameters != base.unet.tuned:
        msg = (
            f"tune.parameters is {config.parameters!r}, but the base was loaded to tune "
            f"{base.unet.tuned!r}. Load it with load_base(..., {config.parameters!r})."
        )
        raise ValueError(msg)
    check_prompt(base.tokenizer, prompt)
    moments = clip if isinstance(clip, Moments) else encode_moments(base, to_model_range(clip))
    text = encode_prompts(base, [prompt])
    state = TuneState.load(resume) if isinstance(resume, Path) else resume
    run = _run_of(base, prompt, seed, config)
    generator = torch.Generator().manual_seed(seed)
    reset_adapter(base)
    _set_checkpointing(base.unet, on=config.gradient_checkpointing)
    trainer = Trainer(base.unet, base.scheduler, config, steering)
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
    stopper = _stopper(config, trainer, moments, text, seed, looks)
    reason = "" if stopper is None else stopper.reason
    last = len(losses) if reason else config.steps
    for step in range(len(losses) + 1, last + 1):
        seen = draw(moments, base.unet, base.scheduler, generator)
        pending.append(
            trainer.step(seen.latents_BCFHW, seen.noise, seen.timesteps, text, seen.frames)[0]
        )
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


def _stopper(
    config: TuneConfig,
    trainer: Trainer,
    moments: Moments,
    text: Tensor,
    seed: int,
    looks: Sequence[float],
) -> Stopper | None:
    """What looks at the tuning at fixed noise; none where it is to do all its steps."""
    if config.stop is None:
        return None
    generator = torch.Generator().manual_seed(seed ^ _LOOKS_SEED)
    draws = [
        draw(moments, trainer.unet, trainer.scheduler, generator, level)
        for level in probe_levels(config.stop.pairs)
    ]

    def loss(one: Draw) -> Tensor:
        return trainer.loss(one.latents_BCFHW, one.noise, one.timesteps, text, one.frames)

    return Stopper(config.stop, draws, loss, looks)


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


def _run_of(base: BaseModel, prompt: str, seed: int, config: TuneConfig) -> dict[str, str]:
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
        "prompt": prompt,
        "seed": str(seed),
        "dtype": precision,
        "attention_mode": base.config.attention_mode,
        **({} if window is None else {"window": f"{window.frames} {window.overlap}"}),
        **numbers,
    }


def check_same_run(state: TuneState, run: dict[str, str]) -> None:
    """Refuse a state that is of another run.

    Raises:
        CheckpointError: it is; the message names what differs.
    """
    differing = [k for k in sorted(state.run | run) if state.run.get(k) != run.get(k)]
    if differing:
        k = differing[0]
        msg = (
            f"the checkpoint is of another run: {k} is {state.run.get(k)!r} there and "
            f"{run.get(k)!r} here ({len(differing)} differ in all). Start the tuning anew."
        )
        raise CheckpointError(msg)


def _set_checkpointing(unet: ClipUNet, *, on: bool) -> None:
    if on:
        unet.enable_gradient_checkpointing()
    else:
        unet.disable_gradient_checkpointing()
