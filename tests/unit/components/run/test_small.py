"""Which work is left to one warm worker."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from components.plan.shards import START_SECONDS
from components.run.small import LONGEST_SECONDS, is_quick, is_small, needs_train
from tests.unit.components.run.test_plan import Run
from tests.unit.components.steps.test_shards import tune_item
from tinyworld.shipped import shipped_model


def groups(videos: int, each: int = 1) -> list[list[Any]]:
    return [[tune_item(number, long=False)] * each for number in range(videos)]


def context(run: Run, **ray: Any) -> Any:
    whole = run.state.context()
    settings = dataclasses.replace(whole.config.ray, **ray)
    return dataclasses.replace(whole, config=dataclasses.replace(whole.config, ray=settings))


@pytest.mark.parametrize(
    ("videos", "each", "ray", "small"),
    [
        (1, 1, {}, True),
        (16, 1, {}, True),
        (17, 1, {}, False),
        (16, 50, {}, True),
        (2, 1, {"workers": 2}, False),
        (1, 5, {"workers": 2}, True),
        (1, 1, {"warm_videos": 0}, False),
        (3, 1, {"warm_videos": 2}, False),
    ],
)
def test_few_videos_that_one_worker_would_have_anyway(
    tmp_path: Path, videos: int, each: int, ray: dict[str, Any], *, small: bool
) -> None:
    run = Run(tmp_path)
    assert is_small(groups(videos, each), context(run, **ray)) is small


@pytest.mark.parametrize(
    ("seconds", "count", "workers", "quick"),
    [
        (LONGEST_SECONDS, 1, 1, True),
        (LONGEST_SECONDS + 1, 1, 1, False),
        (2 * START_SECONDS, 4, 2, True),
        (2 * START_SECONDS + 1, 4, 2, False),
        (2 * START_SECONDS + 1, 1, 2, True),
        (None, 1, 1, False),
    ],
)
def test_tunings_that_ray_train_would_do_no_sooner(
    tmp_path: Path, seconds: float | None, count: int, workers: int, *, quick: bool
) -> None:
    settings = context(Run(tmp_path), workers=workers).config.ray
    assert is_quick(seconds, count, settings) is quick


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({}, False),
        ({"tune": {"steps": 1_000_000}}, True),
        ({"ray": {"warm_videos": 0}}, True),
        ({"method": "sdedit"}, False),
    ],
)
def test_whether_ray_train_is_needed_is_told_before_clips_are_read(
    tmp_path: Path, changes: dict[str, Any], *, needed: bool
) -> None:
    tiny = {
        "model": {"base": str(shipped_model("base"))},
        "video": {"num_frames": 4, "width": 64, "height": 64},
    }
    run = Run(tmp_path, **tiny | {"tune": {"steps": 2}} | changes)
    assert needs_train(run.state, run.state.context()) is needed


def test_tunings_of_a_step_count_by_what_they_take(tmp_path: Path) -> None:
    def small(steps: int) -> bool:
        tiny: dict[str, Any] = {
            "model": {"base": str(shipped_model("base"))},
            "tune": {"steps": steps},
        }
        run = Run(tmp_path, **tiny, ray={"workers": 1})
        row = {"num_frames": 4, "width": 64, "height": 64}
        item = tune_item(0, video_row=row, variant=run.view.name)
        return is_small([[item]], run.state.context())

    assert small(2)
    assert not small(1_000_000)
