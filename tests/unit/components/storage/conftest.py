"""A small whole run in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.whole_run import WholeRun, whole_run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def a_run(root: Path) -> WholeRun:
    return whole_run(root)
