"""The scale benchmark computes a whole run, in one go or in pieces, and adds up what it took."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.scale import plot, summary, table
from benchmarks.scale_run import Shape, compute, noted, scan
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
