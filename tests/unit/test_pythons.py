"""The Pythons that pyproject.toml allows: one lock for all of them, and others are refused."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.pythons import allowed

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PYTHONS = allowed()


def locked(python: str, machine: str) -> dict[str, list[str]]:
    """Versions of each package that a Linux machine with this Python gets."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.5",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "platform_machine": machine,
        "sys_platform": "linux",
    }
    found: dict[str, list[str]] = {}
    for line in re.findall(r"^([\w.-]+==[^\\\n]*)", LOCK, re.MULTILINE):
        one = Requirement(line)
        if one.marker is None or one.marker.evaluate(environment):
            found.setdefault(one.name, []).append(str(one.specifier))
    return found


def test_the_bounds_are_said_and_hold_this_python() -> None:
    assert PYTHONS[0] == "3.11"
    assert PYTHONS[-1] < "3.20", "an upper bound"
    assert "{}.{}".format(*sys.version_info[:2]) in PYTHONS
    assert f"--python-version {PYTHONS[0]} " in LOCK


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_python_gets_the_same_version_of_every_package(machine: str) -> None:
    first = locked(PYTHONS[0], machine)
    assert {"av", "numpy", "scipy", "torch", "ray", "pillow"} <= first.keys()
    assert all(len(versions) == 1 for versions in first.values())
    for python in PYTHONS[1:]:
        assert locked(python, machine) == first, python


def test_the_lock_names_no_index() -> None:
    assert "://" not in LOCK
    assert not re.search(r"^--?\w", LOCK, re.MULTILINE)


def test_make_lock_asks_for_one_version_of_each_and_names_folders_that_exist() -> None:
    command = ["make", "--dry-run", "--no-print-directory", "lock"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    ours, laviss = done.stdout.replace("\\\n", "").strip().splitlines()
    assert {"--universal", "fewest", "--generate-hashes"} <= set(ours.split())
    folder = laviss.removeprefix("cd ").partition(" ")[0]
    assert (ROOT / folder / "requirements.in").is_file()
    assert "requirements.in" in laviss


def pretender(path: Path, version: tuple[int, int]) -> Path:
    """An interpreter that takes itself for another version."""
    program = f"import sys; sys.version_info = ({version[0]}, {version[1]}, 0, 'final', 0); "
    program += "exec(sys.argv.pop(1))"
    command = shlex.join([sys.executable, "-c", program])
    path.write_text(f'#!/bin/sh\nshift\nexec {command} "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return path


def make_setup(python: Path, venv: Path) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", "setup", f"PYTHON={python}", f"VENV={venv}"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("step", [-1, 1])
def test_other_pythons_are_refused_before_anything_is_made(tmp_path: Path, step: int) -> None:
    first, last = (int(python.partition(".")[2]) for python in (PYTHONS[0], PYTHONS[-1]))
    minor = last + 1 if step > 0 else first - 1
    python = pretender(tmp_path / "python3", (3, minor))
    done = make_setup(python, tmp_path / "venv")
    assert done.returncode
    assert (
        f"Python 3.{first} to 3.{last} is needed, but {python} is 3.{minor}: name another, such as "
        "make setup PYTHON=python3.12"
    ) in done.stderr
    assert not (tmp_path / "venv").exists()
    # An environment that is there already, of such a Python.
    (tmp_path / "old" / "bin").mkdir(parents=True)
    pretender(tmp_path / "old" / "bin" / "python", (3, minor))
    (tmp_path / "old" / "bin" / "pip").touch(mode=0o755)
    done = make_setup(python, tmp_path / "old")
    assert done.returncode
    assert f"but {tmp_path / 'old'} is 3.{minor}: make clean, then" in done.stderr
