"""The Pythons that pyproject.toml allows, and those of them that this machine has."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

from packaging.specifiers import SpecifierSet

_PROJECT = Path(__file__).parents[1] / "pyproject.toml"
_SELF = "import ensurepip, sys, venv; print(sys.executable, '%d.%d' % sys.version_info[:2])"


def allowed() -> list[str]:
    """As ``3.11``, ascending."""
    project = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]
    bounds = SpecifierSet(project["requires-python"])
    return [f"3.{minor}" for minor in range(30) if f"3.{minor}.5" in bounds]


def find(version: str) -> str | None:
    """The interpreter of a version, on the path or pyenv's; none where none can make environments.

    pyenv puts a ``python3.12`` on the path that fails unless this version is switched on.
    """
    return _asked(f"python{version}", version) or _of_pyenv(version)


def _asked(program: str, version: str, **environment: str) -> str | None:
    path = shutil.which(program)
    if path is None:
        return None
    done = subprocess.run(
        [path, "-c", _SELF],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    found, _, said = done.stdout.strip().rpartition(" ")
    return found if done.returncode == 0 and said == version else None


def _of_pyenv(version: str) -> str | None:
    if shutil.which("pyenv") is None:
        return None
    listing = subprocess.run(
        ["pyenv", "versions", "--bare"], capture_output=True, text=True, check=False
    ).stdout
    for name in listing.split():
        if name.startswith(f"{version}."):
            found = _asked(f"python{version}", version, PYENV_VERSION=name)
            if found:
                return found
    return None
