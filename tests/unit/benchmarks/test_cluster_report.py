"""What the cluster benchmark makes of its processes' notes."""

from __future__ import annotations

import pytest

from benchmarks.cluster.report import Note, figures, table


def note(gpu: str, kind: str, step: str, item: str, began: float, ended: float) -> Note:
    return {"gpu": gpu, "kind": kind, "step": step, "item": item, "began": began, "ended": ended}


NOTES = [
    note("a", "load", "tune", "", 10, 12),
    note("a", "work", "tune", "v1", 12, 50),
    note("a", "work", "sample", "v1/e", 53, 60),
    note("b", "work", "tune", "v2", 20, 70),
    note("b", "work", "tune", "v2", 75, 90),
    note("", "work", "ingest", "v1", 1, 9),
]


def test_all_gpu_time_is_told_apart() -> None:
    """What counts, what was done twice, loading, and idle time before, between and after."""
    got = figures(NOTES, 3, 0, 100)
    assert got["useful_gpu_s"] == 38 + 7 + 15
    assert got["twice"] == 1
    assert got["twice_gpu_s"] == 50
    assert got["idle_gpu_s"] == {"start": 10 + 20 + 100, "between": 3 + 5, "end": 40 + 10}
    parts = ["useful_gpu_s", "twice_gpu_s", "load_gpu_s", "fetch_gpu_s"]
    assert sum(got[part] for part in parts) + sum(got["idle_gpu_s"].values()) == 3 * 100
    assert got["utilisation"] == pytest.approx(60 / 300)


def test_the_table_says_where_idle_time_was() -> None:
    sizes = {"gpus": 3, "videos": 2, "edits": 1, "scale": 60, "lost_nodes": 0, "left": {}}
    text = table({**sizes, **figures(NOTES, 3, 0, 100)})
    assert "busy **20.0%** of 100 minutes" in text
    assert "idle: 43.3% start, 2.7% between, 16.7% end" in text
