"""Tables of versions 1 and 2, from when scores had a column each: read, added to and merged."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.storage.compact import compact_table
from components.storage.local import LocalStore
from components.storage.parts import encode_part, part_digest
from components.storage.schemas import MEASURES_OF_VERSION_2, SCHEMAS, TABLES_VERSION
from components.storage.tables import append_rows, list_parts, read_table
from tests.unit.components.storage.test_tables import make_row

NEW: dict[str, tuple[str, ...]] = {
    "edits": (
        *("method", "artefact_key", "control_keys"),
        *("given_uri", "given_version", "given_sha256", "peak_bytes"),
    ),
    "videos": ("mask_uri", "mask_version", "mask_sha256"),
}
"""Columns that version 2 gained."""
MEASURES = {"frame_consistency": 91.5, "flicker": None, "jitter": 0.25}


FORMER = {"values": {"frame_consistency": 91.5, "jitter": 0.25}, "reasons": {}}
"""What these measures are now."""


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def append_former(store: LocalStore, table: str, row: dict[str, Any], version: str = "1") -> str:
    """Commit a row as releases of version 1 or 2 did."""
    lacking = {*(NEW.get(table, ()) if version == "1" else ()), "values", "reasons"}
    columns = [column for column in SCHEMAS[table] if column.name not in lacking]
    former = {name: value for name, value in row.items() if name not in lacking}
    if table == "scores":
        columns += [pa.field(name, pa.float64()) for name in MEASURES_OF_VERSION_2]
        former |= dict.fromkeys(MEASURES_OF_VERSION_2) | MEASURES
    schema = pa.schema(columns, metadata={"tav_table": table, "tav_tables_version": version})
    data = encode_part(pa.Table.from_pylist([former], schema=schema))
    path = f"tables/{table}/part-{time.time_ns():020d}-{part_digest(data)}.parquet"
    store.write_bytes(path, data)
    return path


def test_edits_and_scores_of_version_1_are_tune_a_videos(store: LocalStore) -> None:
    append_former(store, "edits", make_row("edits"))
    append_former(store, "scores", make_row("scores", method="tune-a-video"))
    (edit,) = read_table(store, "edits")
    assert edit == make_row("edits") | dict.fromkeys(NEW["edits"]) | {"method": "tune_a_video"}
    (score,) = read_table(store, "scores")
    assert score == make_row("scores", method="tune_a_video") | FORMER
    (some,) = read_table(store, "edits", ["given_sha256", "method", "prompt"])
    assert (some["given_sha256"], some["method"], some["prompt"]) == (None, "tune_a_video", "tëxt")


@pytest.mark.parametrize("table", sorted(set(SCHEMAS) - {"edits", "scores", "artefacts"}))
def test_other_tables_are_as_they_were(store: LocalStore, table: str) -> None:
    append_former(store, table, make_row(table))
    assert read_table(store, table) == [make_row(table) | dict.fromkeys(NEW.get(table, ()))]


@pytest.mark.parametrize("table", ["edits", "scores"])
def test_both_versions_are_merged_into_one_part_and_read_the_same(
    store: LocalStore, table: str
) -> None:
    for key in ("a", "b"):
        append_former(store, table, make_row(table, edit_key=key, method="tune-a-video"))
    append_rows(store, table, [make_row(table, edit_key="c", method="sdedit")])
    append_former(store, table, make_row(table, edit_key="a", prompt="later"))
    before = read_table(store, table)
    methods = {row["edit_key"]: row["method"] for row in before}
    assert methods == {"a": "tune_a_video", "b": "tune_a_video", "c": "sdedit"}
    done = compact_table(store, table, grace=dt.timedelta(0))
    assert (done.merged, done.written) == (4, 1)
    assert read_table(store, table) == before
    compact_table(store, table, grace=dt.timedelta(0))
    ((name, path),) = list_parts(store, table)
    assert name.startswith("merged-")
    schema = pq.read_schema(pa.BufferReader(store.read_bytes(path)))
    assert schema.metadata[b"tav_tables_version"] == TABLES_VERSION.encode()
    assert read_table(store, table) == before
    (row,) = [row for row in before if row["edit_key"] == "a"]
    assert row["prompt"] == "later"


def test_scores_of_version_2_become_values_and_are_merged_with_those_of_today(
    store: LocalStore,
) -> None:
    append_former(store, "scores", make_row("scores", edit_key="a", method="sdedit"), "2")
    append_former(store, "scores", make_row("scores", edit_key="b"), "1")
    now = {"values": {"new": 1.5}, "reasons": {"old": "no word"}}
    append_rows(store, "scores", [make_row("scores", edit_key="c") | now])
    before = {row["edit_key"]: row for row in read_table(store, "scores")}
    assert before["a"] == make_row("scores", edit_key="a", method="sdedit") | FORMER
    assert before["c"] == make_row("scores", edit_key="c") | now
    some = read_table(store, "scores", ["reasons"])
    assert [row["reasons"] for row in some] == [{}, {}, now["reasons"]]
    values = [row["values"] for row in read_table(store, "scores", ["values"])]
    assert values == [FORMER["values"], FORMER["values"], now["values"]]
    assert (compact_table(store, "scores", grace=dt.timedelta(0))).merged == 3
    compact_table(store, "scores", grace=dt.timedelta(0))
    assert len(list_parts(store, "scores")) == 1
    assert {row["edit_key"]: row for row in read_table(store, "scores")} == before


def test_an_empty_part_of_version_2_is_read(store: LocalStore) -> None:
    columns = [pa.field("edit_key", pa.string()), pa.field("flicker", pa.float64())]
    schema = pa.schema(columns, metadata={"tav_table": "scores", "tav_tables_version": "2"})
    data = encode_part(pa.Table.from_pylist([], schema=schema))
    store.write_bytes(f"tables/scores/part-{1:020d}-{part_digest(data)}.parquet", data)
    assert read_table(store, "scores") == []
