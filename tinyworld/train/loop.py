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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

logger = logging.getLogger(__name__)

_KINDS = ("parameter", "average", "exp_avg", "exp_avg_sq")
SAVE_SECONDS = 60.0
"""Between checkpoints."""
_ATTENTION = {
    # On CPUs the backward pass of the fused kernel takes most of a step at these sizes.
    "cpu": [SDPBackend.MATH],
    "cuda": [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH],
}


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

    def rng(self) -> np.random.Generator:
        """numpy's, for draws that are no tensors; seeded by the next draw of the other."""
        seed = torch.randint(2**31, (1,), generator=self.generator)
        return np.random.default_rng(int(seed))


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
        The model with its averaged weights, which are those of the checkpoint if that has seen as
        many steps or more.
    """
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(enabled=True)  # CPUs heed it as well
    rank, count = world()
    state = _State(model, settings)
    checkpoint = folder / f"{name}.safetensors"
    first = state.load(checkpoint)
    model.train()
    saved = began = time.monotonic()
    losses: list[float] = []
    for number in range(first, settings.steps):
        generator = torch.Generator().manual_seed(_mix(settings.seed, number, rank))
        with (
            torch.autocast(device.type, torch.bfloat16, enabled=settings.bf16),
            sdpa_kernel(_ATTENTION[device.type]),
        ):
            value = loss(Step(number, settings.batch // count, generator))
        state.step(value, number, count)
        losses.append(float(value.detach()))
        last = number + 1 == settings.steps
        if rank == 0 and (last or (number + 1) % 50 == 0):
            _log(folder, name, number + 1, sum(losses) / len(losses), time.monotonic() - began)
            losses.clear()
        if rank == 0 and (last or time.monotonic() - saved > SAVE_SECONDS):
            state.save(checkpoint, number + 1)
            saved = time.monotonic()
    for n, p in state.parameters.items():
        p.data.copy_(state.average[n])
    if count > 1:
        distributed.barrier()
    return model.eval()


def steps_done(folder: Path, name: str) -> int:
    """How many steps a part's checkpoint has seen; 0 without one."""
    return int(_metadata(folder / f"{name}.safetensors").get("step", 0))


def courses(folder: Path, name: str) -> list[dict[str, Any]]:
    """With which settings a part was trained, and from which step on: one course, or several.

    A training that goes on with other settings, such as more steps, is no longer what its last
    settings alone would give.
    """
    found: list[dict[str, Any]] = json.loads(
        _metadata(folder / f"{name}.safetensors").get("courses", "[]")
    )
    return found


def _metadata(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


class _State:
    """Weights, their running average and the optimiser's moments."""

    def __init__(self, model: nn.Module, settings: Settings) -> None:
        self.settings = settings
        self.courses: list[dict[str, Any]] = []
        self.parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.average = {n: p.detach().clone() for n, p in self.parameters.items()}
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )

    def step(self, loss: Tensor, number: int, processes: int) -> None:
        """One step of the optimiser along the loss's gradient."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * _rate(number, self.settings)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        _average_gradients(self.parameters, processes)
        nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        self.optimizer.step()
        decay = min(self.settings.decay, (1 + number) / (10 + number))
        weights = [p.detach() for p in self.parameters.values()]
        torch._foreach_lerp_(list(self.average.values()), weights, 1 - decay)

    def save(self, path: Path, step: int) -> None:
        """Write one safetensors file, whole or not at all."""
        tensors: dict[str, Tensor] = {}
        for n, p in self.parameters.items():
            moments = self.optimizer.state[p]
            values = (p.detach(), self.average[n], moments["exp_avg"], moments["exp_avg_sq"])
            tensors |= {f"{k}:{n}": v.contiguous() for k, v in zip(_KINDS, values, strict=True)}
        partial = path.with_suffix(".partial")
        metadata = {"step": str(step), "courses": json.dumps(self.courses)}
        save_file(tensors, partial, metadata=metadata)
        partial.replace(path)

    def load(self, path: Path) -> int:
        """Restore everything, if it is there; returns the number of steps that are done."""
        step = steps_done(path.parent, path.stem)
        former, now = courses(path.parent, path.stem), asdict(self.settings)
        same = bool(former) and former[-1]["settings"] == now
        self.courses = former if same else [*former, {"from_step": step, "settings": now}]
        if step == 0:
            return 0
        tensors = load_file(path)
        for n, p in self.parameters.items():
            p.data.copy_(tensors[f"parameter:{n}"])
            self.average[n].copy_(tensors[f"average:{n}"])
            # Moments in the parameter's own layout: the fused kernel goes through them in the order
            # of memory, and a file is contiguous where weights are channels_last.
            self.optimizer.state[p] = {
                "step": torch.tensor(float(step)),
                **{
                    k: torch.empty_like(p.detach()).copy_(tensors[f"{k}:{n}"])
                    for k in ("exp_avg", "exp_avg_sq")
                },
            }
        return step


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
