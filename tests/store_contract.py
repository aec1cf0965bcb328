"""What every store must do; run for the local one and for S3."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.errors import TransientError
from components.storage.store import Store, file_sha256

BAD_PATHS = [
    "",
    "/a",
    "a/",
    "a//b",
    "../a",
    "a/../b",
    "a/..b",
    "a/b..c",
    ".a",
    "a/.b",
    "a b",
    "ä",
    "a\0",
    "a\n",
]


class StoreContract:
    """Subclasses give a fixture ``store``: an empty one whose root has a prefix of its own."""

    def test_what_is_written_is_read(self, store: Store, tmp_path: Path) -> None:
        store.write_bytes("media/a.bin", b"one")
        assert store.read_bytes("media/a.bin") == b"one"
        store.write_bytes("media/a.bin", b"another")
        assert store.read_bytes("media/a.bin") == b"another"
        store.write_bytes("empty", b"")
        assert store.read_bytes("empty") == b""
        assert store.read_range("media/a.bin", 2, 5) == b"oth"
        assert store.read_range("media/a.bin", 2, 100) == b"other"
        source, target = tmp_path / "ä source", tmp_path / "ä target"
        source.write_bytes(bytes(range(256)) * 40_000)  # over S3's size of one part
        store.write_file("media/large.bin", source)
        store.fetch("media/large.bin", target)
        assert file_sha256(target) == file_sha256(source)

    def test_an_object_is_created_once(self, store: Store) -> None:
        assert store.create_bytes("lease/1", b"mine")
        assert not store.create_bytes("lease/1", b"another's")
        assert store.read_bytes("lease/1") == b"mine"
        # As a client sees it that sends a request again, since the answer was lost.
        assert store.create_bytes("lease/1", b"mine")
        assert [info.path for info in store.list()] == ["lease/1"]
        assert list(store.unfinished("lease")) == []

    def test_of_many_writers_at_once_one_creates_an_object(self, store: Store) -> None:
        for race in range(8):
            with ThreadPoolExecutor(8) as threads:
                tries = [str(n).encode() for n in range(8)]
                won = list(threads.map(partial(store.create_bytes, f"lease/{race}"), tries))
            assert won.count(True) == 1
            assert store.read_bytes(f"lease/{race}") == tries[won.index(True)]

    def test_absent_objects_are_absent(self, store: Store, tmp_path: Path) -> None:
        assert store.stat("gone") is None
        assert list(store.list()) == []
        assert list(store.list("gone")) == []
        store.delete("gone")
        with pytest.raises(FileNotFoundError, match="gone"):
            store.read_bytes("gone")
        with pytest.raises(FileNotFoundError, match="gone"):
            store.read_range("gone", 0, 1)
        with pytest.raises(FileNotFoundError, match="gone"):
            store.fetch("gone", tmp_path / "target")

    def test_stat_tells_size_and_version(self, store: Store) -> None:
        store.write_bytes("a/b", b"one")
        first = store.stat("a/b")
        assert first is not None
        assert (first.path, first.size) == ("a/b", 3)
        assert abs(dt.datetime.now(dt.UTC) - first.modified) < dt.timedelta(minutes=1)
        assert store.stat("a/b") == first
        store.write_bytes("a/b", b"other")
        second = store.stat("a/b")
        assert second is not None
        assert second.version != first.version

    def test_a_listing_is_sorted_and_keeps_to_its_folder(self, store: Store) -> None:
        paths = ["a-b/x", "a/b/c", "a/b.c", "a/b", "ab", "a/b-c"]
        if (local := getattr(store, "_base", None)) is not None:
            paths.remove("a/b/c")  # a file cannot be a folder too
            assert local is not None
        for path in paths:
            store.write_bytes(path, path.encode())
        assert [info.path for info in store.list()] == sorted(paths)
        inside = sorted(path for path in paths if path.startswith("a/"))
        assert [info.path for info in store.list("a")] == inside
        listed = next(iter(store.list("a")))
        assert listed == store.stat(listed.path)
        store.delete("a/b-c")
        assert "a/b-c" not in [info.path for info in store.list()]

    def test_a_finished_write_leaves_nothing_behind(self, store: Store, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(bytes(range(256)) * 40_000)  # over S3's size of one part
        store.write_file("a/large.bin", source)
        assert list(store.unfinished("a")) == []

    @pytest.mark.parametrize("path", BAD_PATHS)
    def test_no_path_can_leave_the_root(self, store: Store, path: str) -> None:
        calls: list[Any] = [store.read_bytes, store.stat, store.delete]
        for call in calls:
            with pytest.raises(ValueError, match="segment"):
                call(path)
        with pytest.raises(ValueError, match="segment"):
            store.write_bytes(path, b"")
        if path:
            with pytest.raises(ValueError, match="segment"):
                list(store.list(path))

    def test_a_fetched_object_is_compared_with_its_row(self, store: Store, tmp_path: Path) -> None:
        store.write_bytes("a", b"what the row says")
        target = tmp_path / "target"
        store.fetch("a", target)
        sha256 = file_sha256(target)
        store.fetch_checked("a", target, sha256)
        store.write_bytes("a", b"something else")
        with pytest.raises(TransientError, match=rf"/a has sha256 .* but its row says {sha256}"):
            store.fetch_checked("a", target, sha256)
        store.delete("a")
        with pytest.raises(TransientError, match="/a is gone, but a row names it"):
            store.fetch_checked("a", target, sha256)

    def test_arrow_reads_what_is_written(self, store: Store) -> None:
        table = pa.table({"x": [1, 2, 3]})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        store.write_bytes("tables/t/part.parquet", sink.getvalue().to_pybytes())
        filesystem, root = store.arrow()
        assert pq.read_table(f"{root}/tables/t", filesystem=filesystem).equals(table)

    def test_arrow_writes_what_is_read(self, store: Store) -> None:
        """Ray Train writes its checkpoints so."""
        filesystem, root = store.arrow()
        data = bytes(range(256)) * 60_000  # over S3's size of one part
        filesystem.create_dir(f"{root}/ray", recursive=True)
        with filesystem.open_output_stream(f"{root}/ray/checkpoint") as stream:
            stream.write(data)
        assert store.read_bytes("ray/checkpoint") == data
