"""Packages that add methods, built and installed for real into folders of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from methods import registry

PAGE = Path(__file__).parents[1] / "docs" / "methods.md"


def documented() -> dict[str, str]:
    """The files of docs/methods.md's method, as they stand there."""
    page = PAGE.read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (about,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    return {"tav_fade.py": code, "pyproject.toml": about}


def install(folder: Path, files: Mapping[str, str]) -> Path:
    """Write a package's files and install it; return the folder that makes it importable."""
    package, site = folder / "package", folder / "site"
    package.mkdir(parents=True)
    for name, text in files.items():
        (package / name).write_text(text, encoding="utf-8")
    how = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", "install", *how, str(package)], check=True)
    return site


def project(name: str, module: str, **methods: str) -> str:
    """A pyproject.toml whose one module adds methods, by name their classes."""
    points = [f'{method} = "{module}:{cls}"' for method, cls in methods.items()]
    return "\n".join(
        [
            f'[project]\nname = "{name}"\nversion = "1"',
            '[project.entry-points."tav.methods"]',
            *points,
            f'[tool.setuptools]\npy-modules = ["{module}"]',
        ]
    )


@contextmanager
def importable(*sites: Path) -> Iterator[None]:
    """Let this process find what is installed there, and forget it at the end."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        for site in sites:
            patch.syspath_prepend(site)
        _forget()
        yield
    _forget()
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent in sites:
            del sys.modules[name]


def _forget() -> None:
    registry._entry_points.cache_clear()
    registry.method_names.cache_clear()
