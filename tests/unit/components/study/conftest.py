"""A study of the small run for each test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.study.design import Asked
from components.study.record import Record
from components.study.server import Files
from tests.study_run import VARIANTS, made

Study = tuple[Record, dict[int, str], Files]


@pytest.fixture
def make(study_uri: str, tmp_path: Path) -> Callable[..., Study]:
    """Make a study with the given options."""

    def one(**options: Any) -> Study:
        record, tokens, files, _ = made(study_uri, tmp_path, Asked(pairs=(VARIANTS,), **options))
        return record, tokens, files

    return one
