"""The training loop: what was interrupted goes on as if it had not been."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tinyworld.train import loop
from tinyworld.train.loop import Settings, Step, courses, fit, steps_done

SETTINGS = Settings(steps=30, batch=8, learning_rate=1e-2, seed=5, warmup=4)


class PowerCutError(Exception):
    pass


def train(folder: Path, *, cut: int | None = None, settings: Settings = SETTINGS) -> nn.Module:
    """Learn to double numbers; the power goes before step `cut`."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 3, 3, padding=1)
    model = nn.Sequential(*layers).to(memory_format=torch.channels_last)  # as the world's models

    def loss(step: Step) -> Tensor:
        if step.number == cut:
            raise PowerCutError
        x = torch.randn(step.batch, 3, 4, 4, generator=step.generator)
        error: Tensor = (model(x) - 2 * x) ** 2
        return error.mean()

    return fit("doubling", model, loss, settings, folder, torch.device("cpu"))


def test_a_killed_training_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(tmp_path / "whole").state_dict()
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)  # a checkpoint at every step
    with pytest.raises(PowerCutError):
        train(tmp_path / "cut", cut=17)
    assert steps_done(tmp_path / "cut", "doubling") == 17
    for name, value in train(tmp_path / "cut").state_dict().items():
        assert torch.equal(value, whole[name]), name


def test_a_checkpoint_of_enough_steps_gives_its_average(tmp_path: Path) -> None:
    whole = train(tmp_path / "run").state_dict()
    shorter = Settings(steps=1, batch=8, learning_rate=1e-2, seed=5)
    for name, value in train(tmp_path / "run", settings=shorter).state_dict().items():
        assert torch.equal(value, whole[name]), name


def test_the_loss_falls_and_is_logged(tmp_path: Path) -> None:
    train(tmp_path, settings=Settings(steps=200, batch=32, learning_rate=1e-2, seed=5, warmup=4))
    lines = [json.loads(line) for line in (tmp_path / "losses.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [50, 100, 150, 200]
    assert lines[-1]["loss"] < 0.3 * lines[0]["loss"]


def test_another_seed_is_another_training(tmp_path: Path) -> None:
    one = train(tmp_path / "one").state_dict()
    other = Settings(steps=30, batch=8, learning_rate=1e-2, seed=6, warmup=4)
    two = train(tmp_path / "two", settings=other).state_dict()
    assert not torch.equal(one["0.weight"], two["0.weight"])


def test_a_training_that_goes_on_with_other_settings_tells_its_courses(tmp_path: Path) -> None:
    assert courses(tmp_path, "doubling") == []
    train(tmp_path)
    train(tmp_path)
    assert courses(tmp_path, "doubling") == [{"from_step": 0, "settings": asdict(SETTINGS)}]
    longer = replace(SETTINGS, steps=40)
    train(tmp_path, settings=longer)
    assert courses(tmp_path, "doubling") == [
        {"from_step": 0, "settings": asdict(SETTINGS)},
        {"from_step": 30, "settings": asdict(longer)},
    ]
    # One that has nothing left to do is none.
    train(tmp_path, settings=replace(SETTINGS, steps=35))
    assert len(courses(tmp_path, "doubling")) == 2


def test_a_killed_training_is_of_one_course(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    with pytest.raises(PowerCutError):
        train(tmp_path, cut=17)
    train(tmp_path)
    assert [course["from_step"] for course in courses(tmp_path, "doubling")] == [0]
