"""Methods of installed packages in the worker processes of a real Ray."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.storage.local import LocalStore
from components.storage.tables import read_table
from tests.method_packages import documented, install, project
from tests.runs import tiny_document, tiny_videos, write_manifest

pytestmark = pytest.mark.soak

LEAVER = """
import sys
from dataclasses import dataclass

from methods.method import Method


@dataclass(frozen=True)
class Config:
    pass


class Leaver(Method):
    Config = Config
    uses_base = False

    def edit(self, source, edits, prepared):
        for edit in edits:
            if edit.name == "shark":
                sys.exit("no sharks")
            yield source.frames
"""


def test_methods_of_installed_packages_work_in_rays_workers(
    tmp_path: Path, tiny_models: Path, tiny_clips: Path
) -> None:
    leaver = {
        "tav_leaver.py": LEAVER,
        "pyproject.toml": project("tav-leaver", "tav_leaver", leaver="Leaver"),
    }
    sites = [install(tmp_path / "fade", documented()), install(tmp_path / "leaver", leaver)]
    document = tiny_document(tmp_path, tiny_models)
    document |= {
        "tune": {"steps": 0},
        "ray": {"num_cpus": 2},
        "max_failed_fraction": 0.5,
        "variants": {
            "full": {},
            "fade": {"method": "fade"},
            "leaver": {"method": "leaver"},
        },
    }
    write_manifest(document, tiny_videos(tiny_clips)[:1])
    told = run(document, tmp_path, sites)
    store = LocalStore(Path(document["run"]))
    edits = [(row["method"], row["edit_id"]) for row in read_table(store, "edits")]
    both = ("fish/cartoon", "fish/shark")
    assert sorted(edits) == [
        *(("fade", edit) for edit in both),
        ("leaver", "fish/cartoon"),
        *(("tune_a_video", edit) for edit in both),
    ]
    assert len(read_table(store, "artefacts")) == len(read_table(store, "latents")) == 1
    assert len(read_table(store, "scores")) == 5
    (failure,) = read_table(store, "failures")
    assert failure["edit_id"] == "fish/shark"
    assert failure["message"] == "method 'leaver' failed: SystemExit: no sharks"
    assert "Traceback" not in told


def run(document: dict[str, Any], folder: Path, sites: list[Path]) -> str:
    """Run as a user does; return what it says on standard error."""
    config = folder / "run.yaml"
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "components.cli", "run", "--config", str(config)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, sites))},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr
