"""Tables and picture of an ablation."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from eval.ablation.__main__ import read_scores
from eval.ablation.results import markdown, plot, summarise
from eval.ablation.statistics import EditId
from eval.measures import MEASURES

ONE, TWO = ("a", "a/object"), ("b", "b/object")


def measured(value: float, **others: float) -> dict[str, dict[EditId, float]]:
    """Scores of two edits, 0.1 apart; no flicker."""
    every = {name: others.get(name, value) for name in MEASURES if name != "flicker"}
    return {"flicker": {}} | {name: {ONE: v, TWO: v + 0.1} for name, v in every.items()}


RESULTS = summarise({"full": measured(2), "w/o tuning": measured(2, jitter=9)})


def test_differences_are_full_minus_variant() -> None:
    jitter = RESULTS.differences["w/o tuning"]["jitter"]
    assert jitter is not None
    assert (jitter.mean, jitter.excludes_zero) == (-7, True)
    assert set(RESULTS.differences) == {"w/o tuning"}
    assert json.loads(json.dumps(RESULTS.document()))["means"]["full"]["flicker"] is None


def test_the_tables_show_what_differs_in_bold_and_what_is_not_there() -> None:
    text = markdown(RESULTS)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert "**-7.00 [-7.00, -7.00]**" in text
    assert text.count("**") == 2
    assert "2.05 [2.00, 2.10]" in text
    assert "–" in lines[2]
    assert "Jitter, px ↓" in lines[0]


def test_the_picture_opens(tmp_path: Path) -> None:
    plot(RESULTS, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert image.width > 1000


def test_protocols_of_one_edit_fill_their_own_columns(tmp_path: Path) -> None:
    names = {"video_id": "a", "edit_id": "a/object"}
    rows = [
        {**names, **dict.fromkeys(MEASURES), "frame_consistency": 90.0},
        {**names, **dict.fromkeys(MEASURES), "flicker": 0.0},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "scores.parquet")
    scores = read_scores(tmp_path / "scores.parquet")
    assert scores["frame_consistency"] == {ONE: 90.0}
    assert scores["flicker"] == {ONE: 0.0}
    assert scores["jitter"] == {}
