from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tav_model.config import ModelConfig, TuneConfig
from tav_model.errors import CheckpointError, NonFiniteLossError, PromptError
from tav_model.frames import to_model_range
from tav_model.load import BaseModel, load_base
from tav_model.state import TuneState
from tav_model.trainer import Trainer
from tav_model.tune import TunedClip, TuneResult, tune
from tav_model.vae import encode_moments

Frames = NDArray[np.uint8]
CONFIG = TuneConfig(steps=4, checkpoint_every=2, learning_rate=1e-3)
PROMPT = "a red fish swimming"


def same(a: TuneResult, b: TuneResult) -> bool:
    return a.losses == b.losses and all(torch.equal(t, b.adapter[n]) for n, t in a.adapter.items())


def test_interrupted_is_uninterrupted(base: BaseModel, frames: Frames, tmp_path: Path) -> None:
    states: list[TuneState] = []
    steps: list[tuple[int, float]] = []
    whole = tune(
        base,
        frames,
        PROMPT,
        CONFIG,
        seed=7,
        on_step=lambda i, loss: steps.append((i, loss)),
        on_checkpoint=states.append,
    )
    assert steps == list(enumerate(whole.losses, start=1))
    assert [s.step for s in states] == [2, 4]
    assert whole.num_params == sum(t.numel() for t in base.initial.values())
    assert whole.peak_bytes > 10**8
    assert not torch.equal(*(next(iter(d.values())) for d in (whole.adapter, base.initial)))
    path = tmp_path / "state.safetensors"
    states[0].save(path)
    tune(base, frames, "something else", CONFIG, seed=8)  # in the same process, in between
    for resume in (path, states[0]):
        assert same(tune(base, frames, PROMPT, CONFIG, seed=7, resume=resume), whole)


def test_no_steps_leave_the_initial_weights(base: BaseModel, frames: Frames) -> None:
    tune(base, frames, PROMPT, CONFIG, seed=7)  # what comes before must not show
    reported: list[object] = []
    untuned = tune(
        base,
        frames,
        PROMPT,
        replace(CONFIG, steps=0),
        seed=7,
        on_step=lambda *step: reported.append(step),
        on_checkpoint=reported.append,
    )
    assert (untuned.losses, reported) == ([], [])
    assert untuned.adapter.keys() == base.initial.keys()
    for name, tensor in untuned.adapter.items():
        assert torch.equal(tensor, base.initial[name].cpu()), name


def test_independent_of_what_was_tuned_before(base: BaseModel, frames: Frames) -> None:
    first = tune(base, frames, PROMPT, CONFIG, seed=7)
    tune(base, frames[::-1], "a blue car", replace(CONFIG, gradient_checkpointing=True), seed=1)
    moments = encode_moments(base, to_model_range(frames))
    assert same(tune(base, moments, PROMPT, CONFIG, seed=7), first)
    assert not same(tune(base, moments, PROMPT, CONFIG, seed=8), first)


def test_loss_falls(base: BaseModel) -> None:
    trainer = Trainer(base.unet, base.scheduler, replace(CONFIG, learning_rate=3e-3))
    x, noise = torch.randn((2, 1, 4, 3, 8, 8), generator=torch.Generator().manual_seed(0)).unbind()
    text, t = torch.zeros(1, 77, 32), torch.tensor([500])
    losses = [trainer.step(x, noise, t, text)[0].item() for _ in range(15)]
    assert losses[-1] < 0.95 * losses[0]


def test_velocity_target(velocity_folder: Path) -> None:
    base = load_base(ModelConfig(base=str(velocity_folder)))
    trainer = Trainer(base.unet, base.scheduler, CONFIG)
    x, noise = torch.randn(2, 1, 4, 3, 8, 8).unbind()
    text = torch.randn(1, 77, 32)
    t = torch.tensor([300])
    alpha = base.scheduler.alphas_cumprod[300]
    noisy = alpha.sqrt() * x + (1 - alpha).sqrt() * noise
    velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * x
    expected = (base.unet(noisy, t, text) - velocity).square().mean()
    torch.testing.assert_close(trainer.loss(x, noise, t, text), expected)


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_low_precision_resumes_too(base_folder: Path, frames: Frames, dtype: str) -> None:
    base = load_base(ModelConfig(base=str(base_folder), dtype=dtype))  # type: ignore[arg-type]
    states: list[TuneState] = []
    whole = tune(base, frames, PROMPT, CONFIG, seed=7, on_checkpoint=states.append)
    assert bool(states[0].scaler) == (dtype == "fp16")
    assert same(tune(base, frames, PROMPT, CONFIG, seed=7, resume=states[0]), whole)
    assert {t.dtype for t in whole.adapter.values()} == {torch.float32}


def test_non_finite_loss_is_named(base: BaseModel, frames: Frames) -> None:
    with pytest.raises(
        NonFiniteLossError,
        match=r"loss became nan at step \d+ in torch.float32: lower tune.learning_rate",
    ):
        tune(base, frames, PROMPT, replace(CONFIG, learning_rate=1e30), seed=7)


def test_bad_prompts_and_states(base: BaseModel, frames: Frames, tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="empty"):
        tune(base, frames, " ", CONFIG, seed=7)
    states: list[TuneState] = []
    tune(base, frames, PROMPT, CONFIG, seed=7, on_checkpoint=states.append)
    with pytest.raises(CheckpointError, match="another run: seed is '7' there and '8' here"):
        tune(base, frames, PROMPT, CONFIG, seed=8, resume=states[0])
    path = tmp_path / "state"
    states[0].save(path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="cannot read checkpoint state"):
        tune(base, frames, PROMPT, CONFIG, seed=7, resume=path)


def test_several_clips_are_drawn_from_step_by_step_and_resumed_to_the_bit(
    base: BaseModel, frames: Frames
) -> None:
    other = TunedClip(clip=frames[:2, :, ::-1].copy(), prompt="a blue star")
    config = TuneConfig(steps=6, checkpoint_every=3)
    states: list[TuneState] = []
    seen: list[int] = []

    def look(_: object, args: tuple[Any, ...]) -> None:
        seen.append(args[0].shape[2])

    hook = base.unet.register_forward_pre_hook(look)
    whole = tune(base, frames, PROMPT, config, seed=3, others=[other], on_checkpoint=states.append)
    hook.remove()
    assert len(seen) == 6
    assert set(seen) == {len(frames), 2}, "each step is on one clip, and both have theirs"
    resumed = tune(base, frames, PROMPT, config, seed=3, others=[other], resume=states[0])
    assert resumed.losses == whole.losses
    assert all(torch.equal(resumed.adapter[n], whole.adapter[n]) for n in whole.adapter)
    with pytest.raises(CheckpointError, match="prompt is"):
        tune(base, frames, PROMPT, config, seed=3, resume=states[0])
