"""Benchmarks lie on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.errors import UserError
from components.layouts.layout import local_path


def test_paths_are_made_whole_and_s3_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for address in ("a/../b", f"file://{tmp_path}/b", str(tmp_path / "b")):
        assert local_path(address, "--to") == tmp_path / "b"
    with pytest.raises(UserError, match="--to is 's3://b/a', but must be on this machine"):
        local_path("s3://b/a", "--to")
    with pytest.raises(UserError, match="unknown scheme 'gs'"):
        local_path("gs://b/a", "--to")
