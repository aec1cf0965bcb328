"""Local sources: their versions, hashes and names (S3 ones: tests/integration/test_s3.py)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config import GIB, VideoLimits
from components.errors import SourceError, UserError
from components.video.frame_sets import natural_key
from components.video.sources import (
    fetch_source,
    resolve_uri,
    source_sha256,
    stat_source,
)
from tests.sample_videos import write_folder, write_video

ODD_NAMES = ["a b.mp4", "ünï%20code #1?.mp4", "日本.mp4", "-rf.mp4", "quo'te\".mp4", "a:b.mp4"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_read_where_they_lie(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name, 3)
    before = stat_source(str(path))
    assert before.size == path.stat().st_size
    assert fetch_source(str(path), tmp_path / "unused") == path
    assert source_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert stat_source(path.as_uri()) == before, "a file:// address means the same file"
    assert fetch_source(path.as_uri(), tmp_path / "unused") == path


def test_the_version_of_a_file_follows_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"one")
    first = stat_source(str(path))
    assert stat_source(str(path)) == first
    path.write_bytes(b"four")
    assert stat_source(str(path)) != first


def test_the_version_and_hash_of_a_folder_follow_its_frames(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "frames", ["1.png", "2.png", "10.png"])
    versions, hashes = [stat_source(str(folder)).version], [source_sha256(folder)]
    (folder / "notes.txt").write_text("not a frame")
    assert [stat_source(str(folder)).version, source_sha256(folder)] == [versions[0], hashes[0]]
    os.utime(folder / "2.png", ns=(1, 1))
    versions.append(stat_source(str(folder)).version)
    assert source_sha256(folder) == hashes[0], "times are no content"
    (folder / "2.png").rename(folder / "3.png")
    versions.append(stat_source(str(folder)).version)
    hashes.append(source_sha256(folder))
    (folder / "3.png").write_bytes((folder / "1.png").read_bytes())
    versions.append(stat_source(str(folder)).version)
    hashes.append(source_sha256(folder))
    assert len(set(versions)) == 4
    assert len(set(hashes)) == 3
    assert all(len(digest) == 64 for digest in hashes)


def test_what_is_no_file_or_folder_of_frames_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    for uri, message in [
        (f"{tmp_path}/gone.mp4", r"gone\.mp4 does not exist: check"),
        (f"{tmp_path}/empty", "holds 0 frames"),
        (f"{tmp_path}/pipe.mp4", "no regular file"),
        (f"{tmp_path}/a\0b.mp4", "cannot be read"),
        (f"{tmp_path}/{'x' * 300}.mp4", "cannot be read"),
        ("ftp://host/a.mp4", "unknown scheme 'ftp'"),
    ]:
        with pytest.raises(SourceError, match=message):
            stat_source(uri)
        with pytest.raises(SourceError, match=message):
            fetch_source(uri, tmp_path)


def test_limits_hold_for_files_and_folders(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "frames", ["1.png", "2.png"])
    size = stat_source(str(folder)).size
    limits = VideoLimits(file_gib=(size - 1) / GIB)
    with pytest.raises(SourceError, match=f"has {size} bytes in all, but the limit is {size - 1}"):
        stat_source(str(folder), limits)
    assert stat_source(str(folder), VideoLimits(file_gib=size / GIB)).size == size


@pytest.mark.parametrize(
    ("uri", "base", "expected"),
    [
        ("v/a b.mp4", "/data/sets", "/data/sets/v/a b.mp4"),
        ("../v.mp4", "/data/sets", "/data/v.mp4"),
        ("/abs/v.mp4", "/data", "/abs/v.mp4"),
        ("v.mp4", "file:///data/my%20sets", "/data/my sets/v.mp4"),
        ("v/a.mp4", "s3://bucket/sets", "s3://bucket/sets/v/a.mp4"),
        ("v.mp4", "s3://bucket", "s3://bucket/v.mp4"),
        ("../v.mp4", "s3://bucket/sets", "s3://bucket/v.mp4"),
        ("./../v.mp4", "s3://bucket/a//b", "s3://bucket/a//v.mp4"),
        ("../v.mp4", "s3://bucket/a//", "s3://bucket/a/v.mp4"),
        ("v.mp4", "s3://bucket/a//", "s3://bucket/a//v.mp4"),
        ("v.mp4", "s3://bucket//", "s3://bucket//v.mp4"),
        ("a//./../v.mp4", "s3://bucket/sets", "s3://bucket/sets/a//./../v.mp4"),
        ("50%25?#+ü.mp4/", "s3://bucket/a b", "s3://bucket/a b/50%25?#+ü.mp4/"),
        ("s3://other/v.mp4", "/data", "s3://other/v.mp4"),
        ("file:///x/v.mp4", "s3://bucket", "file:///x/v.mp4"),
    ],
)
def test_relative_addresses_start_at_the_manifest(uri: str, base: str, expected: str) -> None:
    assert resolve_uri(uri, base) == expected


def test_no_relative_address_leaves_its_bucket() -> None:
    with pytest.raises(
        UserError, match=r"'\.\./\.\./v\.mp4' leads out of the bucket of 's3://b/a'"
    ):
        resolve_uri("../../v.mp4", "s3://b/a")


@given(
    st.lists(st.sampled_from(["", ".", "..", "a", "%2F", "?#"]), max_size=6).map("/".join),
    st.lists(st.sampled_from(["", ".", "..", "a", "%2F", "?#"]), max_size=6).map("/".join),
)
def test_what_is_beside_a_manifest_keeps_every_letter_of_its_key(folder: str, name: str) -> None:
    base = f"s3://bucket/{folder}/"
    assert resolve_uri(f"x{name}", base) == f"{base}x{name}"


def test_a_relative_base_is_taken_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_uri("v.mp4", "sets") == f"{tmp_path}/sets/v.mp4"


@given(st.permutations(["", "a", "a1", "a01", "a10", "a2b3", "1", "²", "a1/b"]))
def test_natural_order_does_not_depend_on_the_listing(names: list[str]) -> None:
    expected = ["", "1", "a", "a01", "a1", "a1/b", "a2b3", "a10", "²"]
    assert sorted(names, key=natural_key) == expected


def test_natural_order_counts() -> None:
    names = ["f10.png", "f9.png", "f09.png", "e.png", "10.png", "9.png"]
    expected = ["9.png", "10.png", "e.png", "f09.png", "f9.png", "f10.png"]
    assert sorted(names, key=natural_key) == expected
