"""Tables of version 1, from when there was one method: read, appended to and merged."""

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
from components.storage.schemas import SCHEMAS, TABLES_VERSION
from components.storage.tables import append_rows, list_parts, read_table
from tests.unit.components.storage.test_tables import make_row

NEW: dict[str, tuple[str, ...]] = {
    "edits": ("method", "artefact_key", "given_uri", "given_version", "given_sha256", "peak_bytes"),
    "videos": ("mask_uri", "mask_version", "mask_sha256"),
}
"""Columns that version 2 gained."""


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def append_version_1(store: LocalStore, table: str, row: dict[str, Any]) -> str:
    """Commit a row as releases of version 1 did."""
    gained = NEW.get(table, ())
    columns = [column for column in SCHEMAS[table] if column.name not in gained]
    schema = pa.schema(columns, metadata={"tav_table": table, "tav_tables_version": "1"})
    former = {name: value for name, value in row.items() if name not in gained}
    data = encode_part(pa.Table.from_pylist([former], schema=schema))
    path = f"tables/{table}/part-{time.time_ns():020d}-{part_digest(data)}.parquet"
    store.write_bytes(path, data)
    return path


def test_edits_and_scores_of_version_1_are_tune_a_videos(store: LocalStore) -> None:
    append_version_1(store, "edits", make_row("edits"))
    append_version_1(store, "scores", make_row("scores", method="tune-a-video"))
    (edit,) = read_table(store, "edits")
    assert edit == make_row("edits") | dict.fromkeys(NEW["edits"]) | {"method": "tune_a_video"}
    (score,) = read_table(store, "scores")
    assert score == make_row("scores", method="tune_a_video")
    (some,) = read_table(store, "edits", ["given_sha256", "method", "prompt"])
    assert (some["given_sha256"], some["method"], some["prompt"]) == (None, "tune_a_video", "tëxt")


@pytest.mark.parametrize("table", sorted(set(SCHEMAS) - {"edits", "scores", "artefacts"}))
def test_other_tables_are_as_they_were(store: LocalStore, table: str) -> None:
    append_version_1(store, table, make_row(table))
    assert read_table(store, table) == [make_row(table) | dict.fromkeys(NEW.get(table, ()))]


@pytest.mark.parametrize("table", ["edits", "scores"])
def test_both_versions_are_merged_into_one_part_and_read_the_same(
    store: LocalStore, table: str
) -> None:
    for key in ("a", "b"):
        append_version_1(store, table, make_row(table, edit_key=key, method="tune-a-video"))
    append_rows(store, table, [make_row(table, edit_key="c", method="sdedit")])
    append_version_1(store, table, make_row(table, edit_key="a", prompt="later"))
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
