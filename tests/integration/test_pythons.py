"""Each other Python that the machine has: the environment, the demo with few steps, the tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkout import copy_sources
from tests.pythons import allowed, find

pytestmark = [pytest.mark.soak, pytest.mark.timeout(5400)]

HERE = "{}.{}".format(*sys.version_info[:2])
FEW = ["tune.steps=2", "invert.steps=2", "sample.steps=2"]


@pytest.fixture(params=[python for python in allowed() if python != HERE])
def checkout(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A copy of the sources, for its environment is made inside; and the interpreter to make it."""
    python = find(request.param)
    if python is None:
        pytest.skip(f"no python{request.param} with venv on the path or under pyenv")
    copy = copy_sources(tmp_path / "checkout")
    yield copy, python
    shutil.rmtree(copy)


def run(folder: Path, *command: str) -> str:
    """What a command wrote to both streams, which must end well."""
    # The driver starts a Ray of its own, and uv has its own cache.
    others = ("RAY_AUTH", "XDG_CACHE_HOME")
    environment = {k: value for k, value in os.environ.items() if not k.startswith(others)}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout[-8000:]}"
    return done.stdout


def test_setup_the_demo_and_the_unit_tests(checkout: tuple[Path, str]) -> None:
    folder, python = checkout
    run(folder, "make", "setup", f"PYTHON={python}")
    run(folder, ".venv/bin/python", "-m", "tinyworld.clips", "runs/demo-clips")
    run(folder, ".venv/bin/tav", "run", "--config", "manifests/runs/demo.yaml", *FEW)
    run(folder, ".venv/bin/tav", "export", "runs/demo", "--to", "scores.jsonl")
    scores = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    assert len({(row["video_id"], row["edit_id"]) for row in scores}) == 12
    assert {row["protocol"] for row in scores} == {"tav_paper_v1", "tinyworld_v2"}
    told = run(folder, ".venv/bin/python", "-m", "pytest", "-q", "tests/unit", "tests/parity")
    passed = re.search(r"(\d+) passed", told)
    assert passed, told[-2000:]
    assert int(passed[1]) > 1300
    print(python, told.splitlines()[-1])
