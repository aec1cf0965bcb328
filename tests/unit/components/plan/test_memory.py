"""What is chosen by memory: as the plan counts it, for the largest clip, and on GPUs alone."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.config import RunConfig
from components.plan.memory import chosen, with_memory
from components.plan.video import VideoCost
from components.steps.step import StepContext
from tests.sd14 import write_configs
from tests.unit.components.plan.test_plan_video import SD14, run_config
from tests.unit.components.steps.test_shards import tune_item


def settings(device: str = "cuda", **sections: Any) -> RunConfig:
    model = {"base": "b", "device": device, "dtype": "bf16"}
    return run_config(model=model, video={"num_frames": 32}, **sections)


def picked(
    config: RunConfig, limit: float | None, edits: int = 4, frames: tuple[int, ...] = (32,)
) -> tuple[bool | str, int | str]:
    sizes = [replace(config.video, num_frames=count) for count in frames]
    found, _ = chosen(config, SD14, sizes, limit, edits)
    return found.tune.gradient_checkpointing, found.sample.prompts_per_batch


def test_checkpointing_where_tuning_would_not_fit() -> None:
    config = settings()
    needed = VideoCost(config, SD14, config.video).tune_bytes()
    assert needed is not None
    assert picked(config, needed / 0.89)[0] is False
    assert picked(config, needed / 0.91)[0] is True
    assert picked(config, needed / 0.89, frames=(8, 33))[0] is True, "the largest clip decides"
    assert picked(config, None) == (False, 1), "nobody knows the memory"


def test_as_many_prompts_as_fit_and_there_are() -> None:
    config = settings()
    roomy = 200e9
    assert [picked(config, roomy, edits)[1] for edits in (1, 2, 3, 8, 50)] == [1, 2, 2, 8, 8]
    four = replace(config, sample=replace(config.sample, prompts_per_batch=4))
    takes = VideoCost(four, SD14, config.video).sample_bytes()
    assert takes is not None
    assert picked(config, takes / 0.89, 50)[1] == 4
    assert picked(config, takes / 0.91, 50)[1] == 2
    assert picked(settings("cpu"), roomy, 8)[1] == 1, "a CPU gains nothing from more at once"


def test_what_was_asked_for_stays() -> None:
    asked = settings(tune={"gradient_checkpointing": False}, sample={"prompts_per_batch": 3})
    found, notes = chosen(asked, SD14, [asked.video], 1e9, 8)
    assert found == asked
    assert notes == []


def test_the_workers_of_a_step_get_what_was_chosen(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = {"base": str(write_configs(tmp_path / "base")), "device": "cuda", "dtype": "bf16"}
    config = run_config(
        model=base, ray={"gpus_per_worker": 1, "accelerator_type": "L4", "address": "auto"}
    )
    small = replace(config, seed=7)
    context = StepContext(config=config, config_hash="h")
    context = replace(
        context,
        variants={"big": context, "small": replace(context, config=small)},
    )
    rows = {
        "big": {"num_frames": 32, "width": 512, "height": 512},
        "small": {"num_frames": 4, "width": 256, "height": 256},
    }
    items = [tune_item(n, variant=name, video_row=rows[name]) for n, name in enumerate(rows)]
    with caplog.at_level(logging.INFO, logger="components.plan.memory"):
        found = with_memory(context, items)
    on = {name: found.of(name).config.tune.gradient_checkpointing for name in rows}
    assert on == {"big": True, "small": False}
    (record,) = caplog.records
    assert record.getMessage().startswith("big: tune.gradient_checkpointing: auto is true")
    assert found.config == config, "the run's own record keeps what was asked for"
