"""A copy of the checkout's sources."""

from __future__ import annotations

import shutil
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
_MADE = shutil.ignore_patterns("__pycache__", "*.egg-info", ".venv*", ".*cache", ".hypothesis")
_MADE_ABOVE = {".git", "runs", "build", "dist"}


def copy_sources(target: Path) -> Path:
    """Copy all but the history and what programs made, into a folder that is not there yet."""

    def left_out(folder: str, names: list[str]) -> set[str]:
        above = _MADE_ABOVE if Path(folder) == REPOSITORY else set()
        return above.intersection(names) | _MADE(folder, names)

    shutil.copytree(REPOSITORY, target, ignore=left_out)
    return target
