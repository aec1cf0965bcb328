"""How a worker's outcomes, and what stops it, reach the driver."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from components.config import RunConfig
from components.errors import TransientError, UserError
from components.steps.ingest import IngestItem, IngestWorker
from components.steps.spread import StepActor, items_to_json, outcomes_from_json
from components.steps.step import Outcome, StepContext
from tav_model.config import ModelConfig
from tests.sample_videos import write_video


def batch(path: Path) -> dict[str, Any]:
    video = {"num_frames": 4, "width": 32, "height": 24}
    item = IngestItem(
        item_key="k", video_id="v", uri=str(path), source_version="-", video=video, attempt=1
    )
    return {"items": [items_to_json([item])]}


def context(root: Path) -> StepContext:
    config = RunConfig(run=str(root), manifest="-", model=ModelConfig(base="-"))
    return StepContext(config=config, config_hash="c0ffee")


def test_outcomes_reach_the_driver(tmp_path: Path) -> None:
    actor = StepActor(IngestWorker, IngestItem, context(tmp_path / "run"), 0)
    (text,) = actor(batch(write_video(tmp_path / "a.mp4", 12)))["outcomes"]
    (outcome,) = outcomes_from_json(text)
    assert (outcome.video_id, outcome.error) == ("v", None)


def test_a_full_disk_stops_the_worker_and_is_no_failure_of_the_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    actor = StepActor(IngestWorker, IngestItem, context(tmp_path / "run"), 0)
    monkeypatch.setattr(os, "fsync", full)
    (text,) = actor(batch(write_video(tmp_path / "a.mp4", 12)))["outcomes"]
    with pytest.raises(
        UserError, match=r"/run/media/.* cannot be written \(No space left .*: free"
    ):
        outcomes_from_json(text)
    assert [path for path in (tmp_path / "run").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("kind", [UserError, TransientError])
@pytest.mark.parametrize("at_start", [True, False])
def test_what_stops_a_worker_reaches_the_driver_as_it_was(
    tmp_path: Path, kind: type[Exception], *, at_start: bool
) -> None:
    class Stopping(IngestWorker):
        def __init__(self, context: StepContext) -> None:
            super().__init__(context)
            if at_start:
                self([])

        @override
        def __call__(self, items: Sequence[Any]) -> list[Outcome]:
            raise kind("the bucket refuses: ask for the right")

    actor = StepActor(Stopping, IngestItem, context(tmp_path), 0)
    (text,) = actor(batch(tmp_path / "a.mp4"))["outcomes"]
    with pytest.raises(kind) as caught:
        outcomes_from_json(text)
    assert type(caught.value) is kind
    assert str(caught.value) == "the bucket refuses: ask for the right"


def test_defects_of_a_worker_pass(tmp_path: Path) -> None:
    def make(_: StepContext) -> Any:
        raise KeyError("x")

    with pytest.raises(KeyError):
        StepActor(make, IngestItem, context(tmp_path), 0)
