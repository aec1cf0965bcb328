"""Tuning that stops by itself: when, what it costs, and that its steps are those without it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tav_model.config import StopConfig, TuneConfig
from tav_model.load import BaseModel
from tav_model.state import TuneState
from tav_model.stopping import probe_levels, stopped
from tav_model.tune import TuneResult, tune

Clip = NDArray[np.uint8]
SOON = StopConfig(patience=2, min_steps=0, every=6, pairs=1, min_gain=0.9)
"""No look ever gains as much after the first."""


def run(base: BaseModel, frames: Clip, stop: StopConfig | None, **more: Any) -> TuneResult:
    config = TuneConfig(steps=30, checkpoint_every=6, learning_rate=1e-3, stop=stop)
    return tune(base, frames, "a red fish", config, seed=7, **more)


def test_a_curve_that_falls_goes_on_and_one_that_lies_flat_stops() -> None:
    config = StopConfig(patience=3, min_steps=0)
    falling = [0.9**n for n in range(20)]
    assert not stopped(falling, config)
    flat = [0.3] * 10
    for looks in range(1, 4):
        assert not stopped(flat[:looks], config)
    assert "in 3 looks" in stopped(flat[:4], config)
    assert stopped([*falling, *[falling[-1]] * 12], config)


def test_a_gain_in_time_starts_the_patience_anew() -> None:
    config = StopConfig(patience=2, min_steps=0, min_gain=0.1)
    assert not stopped([1, 1, 0.5, 0.5], config)
    assert stopped([1, 1, 1], config)


def test_one_look_that_is_off_is_smoothed_away() -> None:
    config = StopConfig(patience=3, min_steps=0, min_gain=0.05)
    assert not stopped([1, 0.9, 0.8, 0.85, 0.7, 0.6], config)


def test_it_does_not_stop_before_its_least_steps() -> None:
    config = StopConfig(patience=1, every=24, min_steps=100)
    assert not stopped([1] * 4, config)
    assert stopped([1] * 5, config)


def test_levels_are_spread() -> None:
    assert probe_levels(4) == [0.125, 0.375, 0.625, 0.875]


def test_it_says_at_which_step_and_why(base: BaseModel, frames: Clip) -> None:
    told: list[int] = []
    result = run(base, frames, SOON, on_step=lambda step, _: told.append(step))
    assert told == list(range(1, 19))
    assert len(result.losses) == 18
    assert result.metadata["stopped_at"] == "18"
    assert result.metadata["stopped"].startswith("the loss of 1 fixed pairs fell by less than 90")


def test_its_steps_are_those_of_a_tuning_that_does_not_look(base: BaseModel, frames: Clip) -> None:
    whole = run(base, frames, None)
    assert "stopped" not in whole.metadata
    result = run(base, frames, SOON)
    assert result.losses == whole.losses[:18]
    looking = run(base, frames, StopConfig(every=6, pairs=1))
    assert looking.losses == whole.losses
    assert all(torch.equal(t, whole.adapter[n]) for n, t in looking.adapter.items())


def test_an_interruption_does_not_change_when_it_stops(
    base: BaseModel, frames: Clip, tmp_path: Path
) -> None:
    states: list[TuneState] = []
    whole = run(base, frames, SOON, on_checkpoint=states.append)
    assert [state.step for state in states] == [6, 12, 18]
    for state in states:
        path = tmp_path / f"{state.step}.safetensors"
        state.save(path)
        resumed = run(base, frames, SOON, resume=path)
        assert resumed.losses == whole.losses
        assert resumed.metadata == whole.metadata
        assert all(torch.equal(t, whole.adapter[n]) for n, t in resumed.adapter.items())


@pytest.mark.parametrize(
    "wrong",
    [{"patience": 0}, {"min_steps": -1}, {"min_gain": 1.0}, {"pairs": 0}, {"every": 23}],
)
def test_settings_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        StopConfig(**wrong)
