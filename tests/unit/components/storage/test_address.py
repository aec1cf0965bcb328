"""Addresses and names: what is taken, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import UserError
from components.storage.address import checked_path, parse_uri
from components.storage.open import open_store


@given(st.text(max_size=30))
def test_a_checked_path_stays_below_the_root(path: str) -> None:
    try:
        checked_path(path)
    except ValueError:
        return
    root = Path("/root of the run")
    whole = Path(os.path.normpath(root / path))
    assert root in whole.parents
    assert path.isascii()
    assert path.isprintable()
    assert not any(part.startswith((".", "-")) for part in path.split("/"))


@given(st.lists(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,199}", fullmatch=True), min_size=1))
def test_plain_segments_are_taken(segments: list[str]) -> None:
    assert checked_path("/".join(segments)) == "/".join(segments)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("runs/demo", ("file", "runs/demo")),
        ("/data/a b#1?x%20", ("file", "/data/a b#1?x%20")),
        ("file:///data/a%20b#1.mp4", ("file", "/data/a b#1.mp4")),
        ("FILE://localhost/data", ("file", "/data")),
        ("s3://bucket", ("s3", "bucket")),
        ("s3://bucket/a b/ü%20#1?.mp4", ("s3", "bucket/a b/ü%20#1?.mp4")),
        ("S3://bucket/key", ("s3", "bucket/key")),
    ],
)
def test_addresses_are_split_without_loss(uri: str, expected: tuple[str, str]) -> None:
    assert (parse_uri(uri).scheme, parse_uri(uri).location) == expected


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("ftp://host/a", "unknown scheme 'ftp'"),
        ("://a", "unknown scheme ''"),
        ("http://[bad", "unknown scheme 'http'"),
        ("s3://", "names no bucket"),
        ("s3:///key", "names no bucket"),
        ("file://data/a", "is no absolute address"),
        ("file://", "is no absolute address"),
        ("s3://key:secret@bucket/a", r"'s3://\*\*\*@bucket/a' holds credentials, .* AWS_PROFILE"),
        ("https://key:secret@host/a", r"unknown scheme 'https' in 'https://\*\*\*@host/a'"),
    ],
)
def test_addresses_that_mean_nothing_are_refused(uri: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        parse_uri(uri)
    assert "secret" not in str(caught.value)
    with pytest.raises(UserError, match=message):
        open_store(uri)


@pytest.mark.parametrize("root", ["a//b", "/a", "a//", "a/../b", "./a", "/"])
def test_a_runs_root_has_no_segments_that_only_s3_can_hold(root: str) -> None:
    with pytest.raises(UserError, match=r"the run's root s3://b/.* holds the segment '.*', which"):
        open_store(f"s3://b/{root}")


@pytest.mark.parametrize("root", ["s3://b/a", "s3://b/a/", "s3://b/", "s3://b"])
def test_one_slash_at_the_end_of_a_runs_root_means_nothing(root: str) -> None:
    assert open_store(root).root == root.rstrip("/")
