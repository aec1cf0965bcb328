"""The scale benchmark computes a whole run, in one go or in pieces, and adds up what it took."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.scale import plot, summary, table
from benchmarks.scale_run import FLOW, Shape, StepTimes, _step_figures, compute, noted, scan
from components.run.portions import PORTION
from components.run.record import load_run
from components.storage.schemas import SCHEMAS
from components.storage.tables import read_commits

SHAPE = Shape(rows=12, edits=2, items_per_task=5, ray=False)


@pytest.mark.parametrize("portion", [PORTION, 5], ids=["whole", "in portions"])
def test_a_run_in_pieces_is_the_whole_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, portion: int
) -> None:
    monkeypatch.setattr("components.run.portions.PORTION", portion)
    monkeypatch.setattr("benchmarks.scale_run.WINDOW", portion)
    first = compute(tmp_path, SHAPE, ("ingest", "caption"))
    assert first["left"] > 0
    with pytest.raises(RuntimeError, match="compute them first"):
        scan(tmp_path, SHAPE)
    second = compute(tmp_path, SHAPE)
    assert second["left"] == 0
    computed = [(step["step"], step["computed"]) for step in noted(tmp_path, "step")[2:]]
    made = {"ingest": 0, "caption": 0, "control": 0, "tune": 12, "sample": 24, "score": 24}
    assert computed == list(made.items())
    state = load_run(str(tmp_path / "run"))
    rows = {
        name: sum(len(commit) for _, commit in read_commits(state.store, name)) for name in SCHEMAS
    }
    assert rows == {
        **dict.fromkeys(("videos", "captions", "adapters", "latents"), 12),
        **dict.fromkeys(("edits", "scores"), 24),
        **dict.fromkeys(("controls", "artefacts", "failures"), 0),
    }
    assert scan(tmp_path, SHAPE)["peak_driver_bytes"] > 1 << 20

    assert noted(tmp_path, "process") == [first, second]
    whole = summary([first, second], noted(tmp_path, "step"))
    assert whole["processes"] == 2
    assert {name: step["computed"] for name, step in whole["steps"].items()} == {
        "ingest": 12,
        "caption": 12,
        "control": 0,
        "tune": 12,
        "sample": 24,
        "score": 24,
    }
    assert whole["ms_per_video"] > 0
    assert "| 12 |" in table([whole])
    plot([whole, whole | {"rows": 100}], tmp_path / "scale.png")
    assert (tmp_path / "scale.png").read_bytes().startswith(b"\x89PNG")


def test_a_process_that_does_several_steps_counts_once() -> None:
    times = StepTimes(step=FLOW, began=0, planned=1, ended=20, driver_cpu=2)
    marks = [(7, 3, 1, 9, 4), (7, 5, 2, 15, 8), (8, 4, 1, 12, 3)]
    names = ("pid", "ready", "cpu_ready", "ended", "cpu_ended")
    times.marks = [dict(zip(names, mark, strict=True)) for mark in marks]
    found = _step_figures(times, ray=True)
    assert found["worker_cpu_s"] == (8 - 1) + (3 - 1)
    assert (found["plan_s"], found["start_s"], found["work_s"], found["stop_s"]) == (1, 2, 12, 5)
    process = {"rows": 100, "compact_s": 1, "ray_start_s": 0, "wall_s": 21, "peak_driver_bytes": 1}
    whole = summary([process], [found])
    assert whole["ms_per_video"] == 1000 * (1 + 1 + 12 + 5) / 100
    assert "| 100 | 190.0 | – | – | – | – | – | – |" in table([whole | {"load_manifest_s": 0}])
