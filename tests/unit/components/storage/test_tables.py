"""Rows to Parquet and back, and what a crash or a damaged disk leaves behind."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from components.errors import TransientError, UserError
from components.storage.local import LocalStore
from components.storage.parts import read_part
from components.storage.schemas import KEYS, SCHEMAS
from components.storage.tables import append_rows, read_table

MOMENT = dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
_VALUES: dict[pa.DataType, Any] = {
    pa.map_(pa.string(), pa.float64()): {"a": 0.5},
    pa.map_(pa.string(), pa.string()): {"b": "why"},
    pa.string(): "tëxt",
    pa.float64(): 0.5,
    pa.int32(): 3,
    pa.int64(): 2**40,
    pa.bool_(): True,
    pa.timestamp("us", tz="UTC"): MOMENT,
    pa.list_(pa.int32()): [1, 2],
    pa.list_(pa.string()): [],
    pa.list_(pa.float16()): [0.5, -1.0],
}


def make_row(table: str, **changes: Any) -> dict[str, Any]:
    return {column.name: _VALUES[column.type] for column in SCHEMAS[table]} | changes


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


@pytest.mark.parametrize("table", list(SCHEMAS))
def test_every_table_returns_what_was_committed(store: LocalStore, table: str) -> None:
    assert read_table(store, table) == []
    append_rows(store, table, [make_row(table)])
    assert read_table(store, table) == [make_row(table)]


def test_of_equal_keys_the_later_row_counts(store: LocalStore) -> None:
    rows = [make_row("videos", video_id=name, fps=fps) for name, fps in [("a", 1.0), ("b", 2.0)]]
    append_rows(store, "videos", rows)
    append_rows(store, "videos", [rows[0] | {"fps": 3.0}])
    found = {row["video_id"]: row["fps"] for row in read_table(store, "videos")}
    assert found == {"a": 3.0, "b": 2.0}
    assert list(found) == ["b", "a"], "each stands where its last row was committed"


def test_failures_are_all_kept(store: LocalStore) -> None:
    for attempt in (1, 2):
        append_rows(store, "failures", [make_row("failures", attempt=attempt)])
    assert [row["attempt"] for row in read_table(store, "failures")] == [1, 2]


def test_some_columns_are_read_with_their_keys_and_part(store: LocalStore) -> None:
    path = append_rows(store, "videos", [make_row("videos")])
    (row,) = read_table(store, "videos", ["fps"], with_part=True)
    assert row == {"fps": 0.5, "part": path} | dict.fromkeys(KEYS["videos"], "tëxt")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fsp": 1}, r"the columns \['fsp'\]"),
        ({"fps": "many"}, "fps"),
        ({"num_frames": 2**40}, "num_frames"),
        ({"video_id": 7}, "video_id"),
        ({"frame_indices": "12"}, "frame_indices"),
    ],
)
def test_wrong_rows_are_refused_and_nothing_is_written(
    store: LocalStore, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        append_rows(store, "videos", [make_row("videos"), make_row("videos", **changes)])
    row = make_row("videos")
    del row["fps"]
    with pytest.raises(ValueError, match=r"the columns \['fps'\]"):
        append_rows(store, "videos", [row])
    assert list(store.list()) == []


def test_there_are_no_tables_but_the_known(store: LocalStore) -> None:
    with pytest.raises(KeyError, match="vidoes"):
        append_rows(store, "vidoes", [])


def test_parts_are_named_in_the_order_of_their_commits(store: LocalStore) -> None:
    paths = [append_rows(store, "videos", [make_row("videos")]) for _ in range(20)]
    assert paths == sorted(paths)
    assert [info.path for info in store.list("tables/videos")] == paths


def test_other_files_beside_the_parts_are_left_alone(store: LocalStore) -> None:
    append_rows(store, "videos", [make_row("videos")])
    store.write_bytes("tables/videos/README.txt", b"notes")
    store.write_bytes("tables/videos_old/part.parquet", b"no parquet")
    assert len(read_table(store, "videos")) == 1


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_part_with_any_byte_damaged_is_named_and_refused(
    store: LocalStore, data: st.DataObject
) -> None:
    path = append_rows(store, "captions", [make_row("captions")])
    content = bytearray(store.read_bytes(path))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.none() | st.integers(0, len(content) - 1))
    store.write_bytes(path, bytes(content[:cut]))
    with pytest.raises(UserError, match=path):
        read_table(store, "captions")
    store.delete(path)


class CountingStore(LocalStore):
    """Counts the bytes that are read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.count = 0
        self.answers = True

    @override
    def read_bytes(self, path: str) -> bytes:
        data = super().read_bytes(path)
        self.count += len(data)
        return data

    @override
    def read_range(self, path: str, start: int, stop: int) -> bytes:
        if not self.answers:
            raise TransientError("no answer")
        data = super().read_range(path, start, stop)
        self.count += len(data)
        return data


@pytest.fixture
def large(tmp_path: Path) -> tuple[CountingStore, str]:
    """A store with a part of two clips' latents of a megabyte each, and the part's path."""
    store = CountingStore(tmp_path)
    noise = np.random.default_rng(1).standard_normal((4, 32, 64, 64)).astype(np.float16)
    columns = {"latents": noise.ravel(), "latents_shape": list(noise.shape)}
    rows = [make_row("latents", video_id=name, **columns) for name in ("first", "second")]
    return store, append_rows(store, "latents", rows)


def test_of_a_large_part_only_the_wanted_columns_are_read(large: tuple[CountingStore, str]) -> None:
    store, path = large
    found = read_table(store, "latents", ["seconds"], with_part=True)
    assert [(row["video_id"], row["seconds"], row["part"]) for row in found] == [
        ("first", 0.5, path),
        ("second", 0.5, path),
    ]
    assert store.count < 200_000
    assert [len(row["latents"]) for row in read_table(store, "latents")] == [2**19] * 2
    assert store.count > 1_000_000


def test_damage_in_what_is_read_of_a_large_part_is_found(large: tuple[CountingStore, str]) -> None:
    store, path = large
    content = store.read_bytes(path)
    at = content.index(b"second")
    store.write_bytes(path, content[:at] + b"secoNd" + content[at + 6 :])
    with pytest.raises(UserError, match=path):
        read_table(store, "latents", ["seconds"])
    store.write_bytes(path, content[: len(content) // 2])
    with pytest.raises(UserError, match=path):
        read_table(store, "latents", ["seconds"])


def test_a_store_without_an_answer_is_no_damage(large: tuple[CountingStore, str]) -> None:
    store, path = large
    store.answers = False
    with pytest.raises(TransientError, match="no answer"):
        read_table(store, "latents", ["seconds"])
    store.delete(path)
    store.answers = True
    with pytest.raises(FileNotFoundError):
        read_part(store, "latents", path, ["seconds"], 1 << 20)
