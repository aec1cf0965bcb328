"""A run goes on after losses of workers while something gets done, and ends when nothing does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.exceptions import RayTaskError, WorkerCrashedError

from benchmarks.chaos.plain import PlainRunner
from components.config import load_run_config
from components.errors import TransientError
from components.run.cluster import Cluster
from components.run.work import _MAX_LOSSES
from components.steps.packed import Packed
from components.steps.step import Outcome
from components.storage.tables import read_commits, read_table


class LossyRunner(PlainRunner):
    """Does real work, but loses its worker after some items each time."""

    lives = 2
    """Items done before each loss."""
    error: Exception = WorkerCrashedError()
    starts = 0

    def _outcomes(self, step: str, items: Packed, cluster: Cluster) -> Iterator[Outcome]:
        self.starts += 1
        for number, outcome in enumerate(super()._outcomes(step, items, cluster)):
            yield outcome
            if number + 1 == self.lives:
                raise self.error
        if self.lives == 0:
            raise self.error


@pytest.fixture
def runner(tmp_path: Path, tiny_clips: Path) -> LossyRunner:
    videos = [
        {"id": f"v{number}", "uri": str(tiny_clips / "fish.mp4"), "prompt": "a fish"}
        for number in range(7)
    ]
    manifest = tmp_path / "manifest.yaml"
    manifest.write_text(yaml.safe_dump({"videos": videos}), encoding="utf-8")
    document = {
        "run": str(tmp_path / "run"),
        "manifest": str(manifest),
        "model": {"base": "tinyworld"},
        "score": {"model": "tinyworld"},
        "video": {"num_frames": 4, "width": 32, "height": 32},
    }
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    return LossyRunner(load_run_config(config))


def test_what_a_loss_left_undone_is_done_again(runner: LossyRunner) -> None:
    result = runner.run(["ingest"])
    assert runner.starts == 4
    assert result.computed == {"ingest": 7}
    assert result.status.steps["ingest"].done == 7
    commits = read_commits(runner.store, "videos", ["video_id"])
    rows = [row for _, commit in commits for row in commit]
    assert len(rows) == 7, "what was committed is not computed again"


def test_losses_without_end_end_the_run(runner: LossyRunner, monkeypatch: Any) -> None:
    monkeypatch.setattr(runner, "lives", 0)
    monkeypatch.setattr(PlainRunner, "_outcomes", lambda *_: iter(()))
    with pytest.raises(TransientError, match=f"step ingest: given up after {_MAX_LOSSES} losses"):
        runner.run(["ingest"])
    assert runner.starts == _MAX_LOSSES


def test_a_defect_ends_the_run_at_once(runner: LossyRunner) -> None:
    runner.error = RayTaskError("f", "traceback", ValueError("a defect"))
    with pytest.raises(RayTaskError, match="traceback"):
        runner.run(["ingest"])
    assert runner.starts == 1
    assert len(read_table(runner.store, "videos")) == 2
