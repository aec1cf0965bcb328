"""A study of the small run for each test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.study.record import Record
from components.study.server import Files
from tests.study_run import BOTH, made

Study = tuple[Record, dict[int, str], Files]


@pytest.fixture(scope="session")
def study_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the small run's clips are fetched to, and noise is made, once."""
    return tmp_path_factory.mktemp("clips")


@pytest.fixture
def make(study_uri: str, study_clips: Path, tmp_path: Path) -> Callable[..., Study]:
    """Make a study with the given options."""

    def one(**options: Any) -> Study:
        return made(study_uri, tmp_path, replace(BOTH, **options), study_clips)

    return one
