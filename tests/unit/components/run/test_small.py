"""Which steps alone are left to the processes of a flow."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from components.manifest.load import Manifest
from components.plan.shards import START_SECONDS
from components.run.current import State
from components.run.small import FEW, LONGEST_SECONDS, is_quick, is_small
from tests.unit.components.run.test_plan import Run
from tinyworld.shipped import shipped_model

TINY = {
    "model": {"base": str(shipped_model("base"))},
    "video": {"num_frames": 4, "width": 64, "height": 64},
    "tune": {"steps": 2},
}


@pytest.mark.parametrize(("videos", "small"), [(1, True), (FEW, True), (FEW + 1, False)])
def test_a_step_of_few_videos_is(tmp_path: Path, videos: int, *, small: bool) -> None:
    run = Run(tmp_path)
    every = tuple(dataclasses.replace(run.entry, video_id=f"v{n}") for n in range(videos))
    state = State(run.config, Manifest(name="m", videos=every), run.store, run.state.revisions)
    assert is_small(state, "score", state.context()) is small


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
    settings = dataclasses.replace(Run(tmp_path).state.config.ray, workers=workers)
    assert is_quick(seconds, count, settings) is quick


@pytest.mark.parametrize(
    ("changes", "small"),
    [
        ({}, True),
        ({"tune": {"steps": 1_000_000}}, False),
        ({"method": "sdedit"}, True),
    ],
)
def test_whether_ray_train_is_needed_is_told_before_clips_are_read(
    tmp_path: Path, changes: dict[str, Any], *, small: bool
) -> None:
    run = Run(tmp_path, **TINY | changes)
    assert is_small(run.state, "tune", run.state.context()) is small
