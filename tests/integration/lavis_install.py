"""LAVIS's environment for the tests, made once from the package registry: seconds and 215 MB."""

from __future__ import annotations

import fcntl
from pathlib import Path

from components.captioning.lavis.environment import find_python, install
from components.config import CaptionConfig
from components.errors import UserError


def installed() -> str:
    """Its interpreter, in ``.cache/lavis`` of the checkout."""
    folder = Path(__file__).parents[2] / ".cache" / "lavis"
    python = folder / "bin" / "python"
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs may start at once
        try:
            find_python(CaptionConfig(backend="lavis", lavis_python=str(python)))
        except UserError:
            install(folder)
    return str(python)
