"""The joined table and its files, read back as other programs would."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.errors import UserError
from components.results.export import ScoreRows, columns, export, score_table
from components.results.scored import Selection
from components.storage.local import LocalStore
from tests.finished_run import (
    drawn_clip,
    exported_row,
    write_edit,
    write_run,
    write_score,
)

FIRST, LAST = columns([])[:8], columns([])[8:]
"""The columns before and after those of measures."""


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "run")


def test_one_row_for_each_edit_and_protocol(store: LocalStore) -> None:
    edits = write_run(store)
    write_score(store, edits[0], 70.0, 7.0, protocol="b_v1")
    write_edit(store, "car", "unscored", "a boat", drawn_clip(0.9))
    rows = score_table(store)
    assert [(one["edit_id"], one["protocol"]) for one in rows] == [
        ("car/cartoon", "tav_paper_v1"),
        ("car/swap", "tav_paper_v1"),
        ("car/unscored", None),
        ("rabbit/cartoon", "tav_paper_v1"),
        ("rabbit/swap", "tav_paper_v1"),
        ("surfer/cartoon", "tav_paper_v1"),
        ("surfer/swap", "b_v1"),
        ("surfer/swap", "tav_paper_v1"),
    ]
    found = rows[1]
    assert tuple(found) == (*FIRST, "values", *LAST)
    assert found["source_prompt"] == "a jeep is moving on the road"
    assert found["values"] == {"frame_consistency": 92.0, "textual_alignment": 28.0}
    assert (found["seconds"], found["seed"], found["method"]) == (61.5, 33, "tune_a_video")
    assert found["base_model"] == "CompVis/stable-diffusion-v1-4"
    assert "frame_consistency" not in rows[2]["values"]
    assert {(one["variant"], one["method"]) for one in rows} == {("", "tune_a_video")}


def test_the_plans_edits_and_scores_alone(store: LocalStore) -> None:
    write_run(store)
    (only,) = score_table(store, Selection(edit_keys={"e-car-swap"}, score_keys=set()))
    assert (only["edit_id"], only["protocol"]) == ("car/swap", None)
    assert score_table(store, Selection(edit_keys=set())) == []


def test_each_variant_has_its_rows_even_where_they_are_shared(store: LocalStore) -> None:
    write_run(store)
    key = {"e-car-swap"}
    scored, unscored = Selection(edit_keys=key), Selection(edit_keys=key, score_keys=set())
    rows = score_table(store, {"z": scored, "a": unscored, "none": Selection(edit_keys=set())})
    assert [
        (one["variant"], one["edit_id"], one["values"].get("frame_consistency")) for one in rows
    ] == [
        ("z", "car/swap", 92.0),
        ("a", "car/swap", None),
    ]


def test_two_edits_of_one_prompt_keep_their_own_scores(store: LocalStore) -> None:
    write_run(store)
    twin = write_edit(store, "car", "twin", "same", drawn_clip(0.9), edit_key="e-car-swap")
    write_score(store, twin, 1.0, 2.0)
    chosen = Selection(edit_keys={"e-car-swap"})
    rows = {one["edit_id"]: one for one in score_table(store, chosen)}
    assert rows["car/twin"]["values"]["frame_consistency"] == 1.0
    assert rows["car/swap"]["values"]["frame_consistency"] == 92.0


def test_an_edit_that_was_renamed_shows_once(store: LocalStore) -> None:
    write_run(store)
    write_edit(store, "car", "renamed", "same", drawn_clip(0.9), edit_key="e-car-swap")
    chosen = Selection(edit_keys={"e-car-swap"}, edit_ids={"car/renamed"})
    (only,) = score_table(store, chosen)
    assert only["edit_id"] == "car/renamed"


def test_parquet_keeps_types_even_when_a_column_is_empty(tmp_path: Path) -> None:
    target = tmp_path / "scores.parquet"
    reasons = {"frame_consistency": "one frame"}
    export([exported_row(values={"frame_consistency": None}, reasons=reasons)], str(target))
    table = pq.read_table(target)
    names = ("frame_consistency", "textual_alignment")
    assert tuple(table.column_names) == (*FIRST, *names, *LAST)
    types = {name: str(table.schema.field(name).type) for name in table.column_names}
    assert types["frame_consistency"] == types["fps"] == "double"
    assert types["seed"] == "int64"
    assert types["created_at"] == "timestamp[us, tz=UTC]"
    row = exported_row()
    del row["values"]
    measured = {"frame_consistency": None, "textual_alignment": -1.5}
    told = {"reasons": '{"frame_consistency": "one frame"}'}
    assert table.to_pylist()[0] == row | measured | told


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", '=HYPERLINK("x")']


@pytest.mark.parametrize("prompt", FORMULAS)
def test_csv_text_is_never_a_formula(tmp_path: Path, prompt: str) -> None:
    target = tmp_path / "scores.csv"
    export([exported_row(prompt=prompt)], str(target))
    with target.open(newline="", encoding="utf-8") as handle:
        (read,) = csv.DictReader(handle)
    assert read["prompt"] == f"'{prompt}"


def test_csv_numbers_stay_numbers_and_text_stays_text(tmp_path: Path) -> None:
    target = tmp_path / "scores.csv"
    prompt = 'a "red", blue\nfish | 2-1'
    export([exported_row(prompt=prompt, values={"frame_consistency": math.nan})], str(target))
    with target.open(newline="", encoding="utf-8") as handle:
        (read,) = csv.DictReader(handle)
    assert tuple(read) == (*FIRST, "frame_consistency", "textual_alignment", *LAST)
    assert float(read["textual_alignment"]) == -1.5
    assert (read["seed"], read["frame_consistency"], read["prompt"]) == ("33", "", prompt)
    assert read["created_at"] == "2026-11-20T09:30:00+00:00"


def test_jsonl_is_one_strict_json_object_a_line(tmp_path: Path) -> None:
    target = tmp_path / "scores.jsonl"
    export(
        [
            exported_row(prompt="a\nb\u2028\ud800"),
            exported_row(values={"frame_consistency": math.nan}),
        ],
        str(target),
    )
    lines = target.read_text(encoding="utf-8").split("\n")
    first, second = (json.loads(line) for line in lines[:2])
    assert lines[2:] == [""]
    assert first["prompt"] == "a\nb\u2028\ud800"
    assert second["frame_consistency"] is None
    assert second["created_at"] == "2026-11-20T09:30:00+00:00"


def test_markdown_cells_cannot_break_the_table_or_become_html(tmp_path: Path) -> None:
    target = tmp_path / "scores.md"
    prompt = "a|b\n| c <script>alert(1)</script> [x](javascript:y) `z` \\|"
    export([exported_row(prompt=prompt, values={"frame_consistency": None})], str(target))
    header, rule, line, rest = target.read_text(encoding="utf-8").split("\n")
    assert rest == ""
    assert rule.count("---:") == 3
    assert "<" not in line
    bare = line.replace("\\\\", "").replace("\\|", "")
    assert bare.count("|") == header.count("|")
    assert "\\[x\\](" in line
    assert "–" in line
    assert "-1.50" in line


def test_markdown_names_variants_where_there_are_any(tmp_path: Path) -> None:
    target = tmp_path / "scores.md"
    export([exported_row(variant=""), exported_row(variant="")], str(target))
    assert "variant" not in target.read_text(encoding="utf-8")
    export([exported_row(variant="no_tuning"), exported_row(variant="<b>")], str(target))
    header, _, first, second, _ = target.read_text(encoding="utf-8").split("\n")
    assert "| edit_id | variant |" in header
    assert "| no\\_tuning |" in first
    assert "| &lt;b&gt; |" in second


@pytest.mark.parametrize("name", ["scores.xlsx", "scores", "scores.csv.gz"])
def test_an_unknown_suffix_lists_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"one of \.parquet, \.csv, \.jsonl, \.md"):
        export([exported_row()], str(tmp_path / name))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("some", [1, 2, 3])
def test_a_table_that_is_made_in_parts_is_the_whole_one(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, some: int
) -> None:
    edits = write_run(store)
    write_score(store, edits[0], 50, 20, protocol="another_v1", score_key="s-other")
    write_score(store, edits[3], 51, 21)  # the last one counts
    variants = {
        "b": Selection(edit_keys={row["edit_key"] for row in edits[2:]}),
        "a": Selection(),
    }
    whole = score_table(store, variants)
    monkeypatch.setattr("components.results.scored._SOME", some)
    monkeypatch.setattr("components.results.export._GROUP", some)
    assert score_table(store, variants) == whole
    for suffix in ("csv", "jsonl", "md"):
        count = export(ScoreRows(store, variants), str(tmp_path / f"parts.{suffix}"))
        assert count == export(whole, str(tmp_path / f"whole.{suffix}")) == len(whole)
        parts, one = (tmp_path / f"{name}.{suffix}" for name in ("parts", "whole"))
        assert parts.read_bytes() == one.read_bytes()
    export(ScoreRows(store, variants), str(tmp_path / "parts.parquet"))
    monkeypatch.setattr("components.results.export._GROUP", len(whole))
    export(whole, str(tmp_path / "whole.parquet"))
    parts, one = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("parts", "whole"))
    assert parts.equals(one)


def test_files_appear_whole_and_replace_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "new folder" / "my scores.CSV"
    export([exported_row()], f"file://{str(target).replace(' ', '%20')}")
    before = target.read_bytes()

    def broken(_handle: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("components.results.export.os.fsync", broken)
    with pytest.raises(UserError, match="No space left on device"):
        export([exported_row(), exported_row()], str(target))
    assert target.read_bytes() == before
    assert [path.name for path in target.parent.iterdir()] == ["my scores.CSV"]


def test_a_target_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(UserError, match="give a path that can be written"):
        export([exported_row()], str(tmp_path / "file" / "scores.csv"))
    with pytest.raises(UserError, match="unknown scheme 'ftp'"):
        export([exported_row()], "ftp://host/scores.csv")
    with pytest.raises(UserError, match="cannot export to"):
        export([exported_row()], "s3://bucket/folder/my scores.csv")
