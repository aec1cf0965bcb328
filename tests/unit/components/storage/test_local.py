"""The local store."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.errors import UserError
from components.storage.local import LocalStore
from components.storage.open import open_store
from components.storage.store import Store, Unfinished
from tests.store_contract import StoreContract


class TestLocalStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return open_store(str(tmp_path / "the run's root"))

    def test_a_failed_write_leaves_the_old_object_and_nothing_else(
        self, store: Store, tmp_path: Path
    ) -> None:
        store.write_bytes("a", b"old")
        unreadable = tmp_path / "folder"
        unreadable.mkdir()
        with pytest.raises(IsADirectoryError):
            store.write_file("a", unreadable)
        assert store.read_bytes("a") == b"old"
        assert [p.name for p in (tmp_path / "the run's root").iterdir()] == ["a"]

    def test_unfinished_writes_never_show(self, store: Store, tmp_path: Path) -> None:
        store.write_bytes("a/b", b"")
        (tmp_path / "the run's root" / "a" / ".tmp-left-by-a-crash").write_bytes(b"half")
        assert [info.path for info in store.list()] == ["a/b"]

    def test_unfinished_writes_can_be_discarded_and_nothing_else(
        self, store: Store, tmp_path: Path
    ) -> None:
        store.write_bytes("a/b", b"")
        left = tmp_path / "the run's root" / "a" / ".tmp-left-by-a-crash"
        left.write_bytes(b"half")
        (left.parent / ".tmp-folder").mkdir()
        (write,) = store.unfinished("a")
        assert (write.path, write.size) == ("a/.tmp-left-by-a-crash", 4)
        assert list(store.unfinished("b")) == []
        store.discard(write)
        store.discard(write)
        assert not left.exists()
        for path in ("a/b", "../.tmp-x", "/.tmp-x", ".tmp-x/b"):
            with pytest.raises(ValueError, match=r"temporary|segment"):
                store.discard(Unfinished(path, 0, write.modified))
        assert store.read_bytes("a/b") == b""

    def test_what_is_removed_during_a_listing_is_left_out(self, store: Store) -> None:
        for path in ("a/1", "a/2", "a/3"):
            store.write_bytes(path, b"")
        listing = store.list()
        assert next(listing).path == "a/1"
        store.delete("a/2")
        assert [info.path for info in listing] == ["a/3"]

    def test_folders_and_broken_links_are_no_objects(self, store: Store, tmp_path: Path) -> None:
        store.write_bytes("a/b", b"")
        root = tmp_path / "the run's root"
        (root / "gone").symlink_to(root / "nowhere")
        (root / "loop").symlink_to(root / "loop")
        for path in ("a", "a/b/c", "gone", "loop"):
            assert store.stat(path) is None
        assert [info.path for info in store.list()] == ["a/b"]

    def test_a_full_disk_is_named_and_leaves_nothing_half_written(self, tmp_path: Path) -> None:
        """The disk is full for this process alone: the kernel bounds the size of its files."""
        code = (
            "import resource, sys, pathlib\n"
            "from components.storage.local import LocalStore\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
            "store = LocalStore(sys.argv[1])\n"
            "store.write_bytes('a/small', bytes(1000))\n"
            "store.write_bytes('a/large', bytes(200_000))\n"
        )
        root = tmp_path / "root"
        done = subprocess.run(
            [sys.executable, "-c", code, root], capture_output=True, text=True, check=False
        )
        assert re.search(
            r"UserError: .*/a/large cannot be written \(File too large\): raise .*ulimit -f\)"
            r", or use another run root; what is committed stays",
            done.stderr,
        ), done.stderr
        assert [found.name for found in (root / "a").iterdir()] == ["small"]

    @pytest.mark.parametrize(
        ("code", "remedy"),
        [
            ("ENOSPC", "free some space"),
            ("EROFS", "mount it"),
            ("EACCES", "change its permissions"),
        ],
    )
    def test_what_no_write_gets_past_is_the_users_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, remedy: str
    ) -> None:
        def refuse(_: int) -> None:
            number = getattr(errno, code)
            raise OSError(number, os.strerror(number))

        store = LocalStore(tmp_path)
        store.write_bytes("a", b"old")
        monkeypatch.setattr(os, "fsync", refuse)  # where a full disk may say so at last
        with pytest.raises(UserError, match=rf"/a cannot be written \(.*\): {remedy}"):
            store.write_bytes("a", b"new")
        assert store.read_bytes("a") == b"old"
        assert [found.name for found in tmp_path.iterdir()] == ["a"]

    def test_objects_are_readable_by_others(self, store: Store, tmp_path: Path) -> None:
        store.write_bytes("a", b"")
        assert (tmp_path / "the run's root" / "a").stat().st_mode & 0o777 == 0o644


hostile_parts = st.sampled_from(
    ["..", ".", "", "/", "\\", "%2e%2e", "%2f", "．．", "～", "\0", "a"]
)


@given(path=st.text(max_size=30) | st.lists(hostile_parts, max_size=5).map("/".join))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_is_written_outside_the_root(tmp_path: Path, path: str) -> None:
    root = tmp_path / "above" / "root"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    store = LocalStore(root)
    with contextlib.suppress(ValueError):
        store.write_bytes(path, b"x")
        assert store.read_bytes(path) == b"x"
        store.delete(path)
    assert [found.name for found in tmp_path.iterdir()] == ["above"]
    assert [found.name for found in (tmp_path / "above").iterdir()] == ["root"]
    assert [found for found in root.rglob("*") if found.is_file()] == []


def test_file_addresses_and_paths_open_the_same_store(tmp_path: Path) -> None:
    open_store(tmp_path.as_uri()).write_bytes("a", b"x")
    assert LocalStore(tmp_path).read_bytes("a") == b"x"
