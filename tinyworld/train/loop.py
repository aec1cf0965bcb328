"""One training loop for every model: resumable to the bit, averaged, logged.

The batch of a step depends on the step's number and the seed alone, so a training that was killed
goes on as if it had not been. With ``torchrun --nproc-per-node N`` every process takes its own part
of each batch, and the gradients are averaged.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed, nn

logger = logging.getLogger(__name__)

_KINDS = ("parameter", "average", "exp_avg", "exp_avg_sq")
_SAVE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How one model is trained."""

    steps: int
    batch: int
    """Samples of one step, over all processes."""
    learning_rate: float
    seed: int
    warmup: int = 200
    """Steps over which the learning rate rises."""
    cooldown: float = 0.2
    """Last part of the steps, over which it falls to zero."""
    decay: float = 0.999
    """Of the running average of the weights, which is what is kept in the end."""
    weight_decay: float = 0.01
    bf16: bool = False
    """Compute in bf16 where autocast deems it safe."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a loss may draw from."""

    number: int
    batch: int
    """Samples of this process."""
    generator: torch.Generator
    """On the CPU; seeded by seed, step and process."""


def world() -> tuple[int, int]:
    """This process's number, and how many there are; joins them at the first call."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count > 1 and not distributed.is_initialized():
        distributed.init_process_group("gloo")
    return int(os.environ.get("RANK", "0")), count


def fit(
    name: str,
    model: nn.Module,
    loss: Callable[[Step], Tensor],
    settings: Settings,
    folder: Path,
    device: torch.device,
) -> nn.Module:
    """Train, from the last checkpoint if there is one.

    Args:
        name: of the part; names its checkpoint and its lines in `losses.jsonl`.
        model: all its parameters that require a gradient are trained, in place.
        loss: gives the mean loss of a batch.
        settings: steps, learning rate and so on.
        folder: for checkpoint and log.
        device: where the model is.

    Returns:
        The model with its averaged weights.
    """
    rank, count = world()
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(
        parameters.values(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    average = {n: p.detach().clone() for n, p in parameters.items()}
    checkpoint = folder / f"{name}.safetensors"
    first = _load(checkpoint, parameters, average, optimizer)
    model.train()
    saved = began = time.monotonic()
    total, seen = 0.0, 0
    for number in range(first, settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * _rate(number, settings)
        generator = torch.Generator().manual_seed(_mix(settings.seed, number, rank))
        step = Step(number, settings.batch // count, generator)
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.bf16):
            value = loss(step)
        optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        _average_gradients(parameters, count)
        nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimizer.step()
        decay = min(settings.decay, (1 + number) / (10 + number))
        for n, p in parameters.items():
            average[n].lerp_(p.detach(), 1 - decay)
        total, seen = total + float(value.detach()), seen + 1
        last = number + 1 == settings.steps
        if rank == 0 and (last or (number + 1) % 50 == 0):
            _log(folder, name, number + 1, total / seen, time.monotonic() - began)
            total, seen = 0.0, 0
        if rank == 0 and (last or time.monotonic() - saved > _SAVE_SECONDS):
            _save(checkpoint, number + 1, parameters, average, optimizer)
            saved = time.monotonic()
    for n, p in parameters.items():
        p.data.copy_(average[n])
    if count > 1:
        distributed.barrier()
    return model.eval()


def _rate(number: int, settings: Settings) -> float:
    up = (number + 1) / settings.warmup
    down = (settings.steps - number) / max(1.0, settings.cooldown * settings.steps)
    return min(1.0, up, down)


def _mix(*numbers: int) -> int:
    out = 0
    for number in numbers:
        out = (out * 1_000_003 + number) % 2**63
    return out


def _average_gradients(parameters: dict[str, nn.Parameter], count: int) -> None:
    if count == 1:
        return
    gradients = [p.grad for p in parameters.values() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    distributed.all_reduce(flat)
    flat /= count
    for gradient, part in zip(
        gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True
    ):
        gradient.copy_(part.view_as(gradient))


def _log(folder: Path, name: str, step: int, loss: float, seconds: float) -> None:
    line = {"part": name, "step": step, "loss": round(loss, 6), "seconds": round(seconds, 1)}
    with (folder / "losses.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    logger.info("%s step %d loss %.5f (%.0f s)", name, step, loss, seconds)


def _save(
    path: Path,
    step: int,
    parameters: dict[str, nn.Parameter],
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    tensors: dict[str, Tensor] = {}
    for n, p in parameters.items():
        state = optimizer.state[p]
        values = (p.detach(), average[n], state["exp_avg"], state["exp_avg_sq"])
        tensors |= {f"{kind}:{n}": v.contiguous() for kind, v in zip(_KINDS, values, strict=True)}
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"step": str(step)})
    partial.replace(path)


def _load(
    path: Path,
    parameters: dict[str, nn.Parameter],
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> int:
    """Restore everything; returns the number of steps that are done."""
    if not path.is_file():
        return 0
    with safe_open(path, framework="pt") as file:
        step = int(file.metadata()["step"])
    tensors = load_file(path)
    for n, p in parameters.items():
        p.data.copy_(tensors[f"parameter:{n}"])
        average[n].copy_(tensors[f"average:{n}"])
        optimizer.state[p] = {
            "step": torch.tensor(float(step)),
            **{k: tensors[f"{k}:{n}"].to(p.device) for k in ("exp_avg", "exp_avg_sq")},
        }
    return step
