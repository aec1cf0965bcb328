"""Trains the layered atlas of a clip, from where a former worker's checkpoint left it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from methods.atlas import Atlas, render
from methods.atlas_losses import Footage, atlas_loss, mapping_loss
from methods.method import ClipSize
from methods.text2live_config import AtlasConfig
from tav_model.errors import NonFiniteLossError
from tav_model.state import TuneState, adam_tensors, check_same_run, to_host

_FETCH_EVERY = {"cuda": 50}
"""Steps between looks at the loss: each look makes the host wait for the GPU."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedAtlas:
    """What a training gives."""

    atlas: Atlas
    loss: float
    """The last step's."""
    psnr: float
    """Of the reconstructed clip against the clip, in dB."""


class _Training:
    """Networks and optimiser, before a step."""

    def __init__(self, footage: Footage, config: AtlasConfig, seed: int) -> None:
        self.footage, self.config, self.seed = footage, config, seed
        frames, height, width = footage.mask.shape
        self.size = ClipSize(num_frames=frames, width=width, height=height)
        self.device = footage.frames.device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.atlas = Atlas(config, self.size).to(self.device)
        self.first = config.pretrain_steps * frames
        """Steps of the mappings alone, a frame each."""
        self.total = self.first + config.steps
        self._optimize(0)

    def _optimize(self, done: int) -> None:
        """Make the optimiser of the steps from here on."""
        mappings = ("foreground", "background") if done < self.first else ()
        named = dict(self.atlas.named_parameters())
        self.names = [n for n in named if not mappings or n.startswith(mappings)]
        self.optimizer = torch.optim.Adam(
            [named[name] for name in self.names], lr=self.config.learning_rate, fused=True
        )

    def step(self, number: int) -> Tensor:
        """Do a step, counted from 1; gives its loss. Its draws depend on nothing but its number."""
        if number == self.first + 1:
            self._optimize(self.first)
        pixels = self._draw(number)
        if number <= self.first:
            loss = mapping_loss(self.atlas, pixels)
        else:
            since = number - self.first - 1
            loss = atlas_loss(self.atlas, self.footage, pixels, self.config, since)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()

    def _draw(self, number: int) -> Tensor:
        """Pixels (x, y, frame) of the whole clip, or of one frame for the mappings alone."""
        (drawn_seed,) = np.random.SeedSequence([self.seed, number]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(drawn_seed) >> 1)
        size, count = self.size, self.config.samples
        limits = size.width, size.height, size.num_frames
        drawn = [torch.randint(limit, (count,), generator=generator) for limit in limits]
        if number <= self.first:
            drawn[2] = torch.full((count,), (number - 1) % size.num_frames)
        return torch.stack(drawn, dim=1).to(self.device)

    def state(self, number: int, losses: list[float], run: dict[str, str]) -> TuneState:
        """What another worker goes on from after a step."""
        return TuneState(
            step=number,
            parameters=to_host(dict(self.atlas.named_parameters())),
            exp_avg=adam_tensors(self.optimizer, self.names, "exp_avg"),
            exp_avg_sq=adam_tensors(self.optimizer, self.names, "exp_avg_sq"),
            adam_step=adam_tensors(self.optimizer, self.names, "step"),
            rng=torch.empty(0, dtype=torch.uint8),  # draws depend on the step's number
            losses=torch.tensor(losses[-1:], dtype=torch.float32),
            run=run,
        )

    def restore(self, state: TuneState) -> None:
        """Take up a state."""
        self.atlas.load_state_dict(state.parameters)
        self._optimize(state.step - 1)
        for name, p in zip(self.names, self.optimizer.param_groups[0]["params"], strict=True):
            self.optimizer.state[p] = {
                "step": state.adam_step[name].to(p.device, copy=True),
                "exp_avg": state.exp_avg[name].to(p.device, copy=True),
                "exp_avg_sq": state.exp_avg_sq[name].to(p.device, copy=True),
            }


def train_atlas(
    footage: Footage,
    config: AtlasConfig,
    *,
    seed: int,
    on_step: Callable[[int, int, float], None],
    on_checkpoint: Callable[[TuneState], None],
    checkpoint_due: Callable[[], bool] = lambda: False,
    resume: TuneState | None = None,
) -> TrainedAtlas:
    """Train a clip's atlas; where it was interrupted does not change what comes out.

    Args:
        footage: The clip.
        config: Networks and training.
        seed: Of all draws.
        on_step: Called with (steps done, steps in all, loss); on a GPU 50 at a time.
        on_checkpoint: Called every ``config.checkpoint_every`` steps.
        checkpoint_due: Asked after every step; where it says so, there is one at once.
        resume: A state of this same training.

    Raises:
        NonFiniteLossError: the loss became NaN or infinite.
        CheckpointError: the state is of another training.
    """
    training = _Training(footage, config, seed)
    run = _run_of(config, training.size, seed)
    done, losses = 0, [math.nan]
    if resume is not None:
        check_same_run(resume, run)
        training.restore(resume)
        done, losses = resume.step, resume.losses.tolist()
    every, checkpoint_every = _FETCH_EVERY.get(training.device.type, 1), config.checkpoint_every
    for number in range(done + 1, training.total + 1):
        loss = training.step(number)
        due = checkpoint_every > 0 and number % checkpoint_every == 0
        due = due or checkpoint_due()
        if number % every == 0 or due or number == training.total:
            losses = [float(loss)]
            _check_finite(losses[0], number)
            on_step(number, training.total, losses[0])
        if due and number < training.total:
            on_checkpoint(training.state(number, losses, run))
    atlas = training.atlas.requires_grad_(requires_grad=False)
    whole = render(atlas, "foreground", training.device).whole.permute(0, 2, 3, 1)
    error = float((whole - footage.frames).square().mean())
    return TrainedAtlas(atlas=atlas, loss=losses[0], psnr=-10 * math.log10(max(error, 1e-10)))


def _check_finite(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise NonFiniteLossError(
            f"the atlas's loss became {loss} at step {step}: lower text2live.atlas.learning_rate"
        )


def _run_of(config: AtlasConfig, size: ClipSize, seed: int) -> dict[str, str]:
    keyed = [f.name for f in dataclasses.fields(config) if f.metadata.get("key", True)]
    numbers = {name: str(getattr(config, name)) for name in keyed}
    return {"seed": str(seed), "size": str(size), **numbers}
