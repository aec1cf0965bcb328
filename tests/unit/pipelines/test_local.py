"""A pipeline that fails on this machine before there is anything to compute."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.unit.pipelines.test_carried import TEMPLATES

CONFIG = {"run": "run", "manifest": "missing.yaml", "model": {"base": "tinyworld"}}


def fail(folder: Path, *words: str, **changes: str) -> tuple[list[str], str]:
    """Run a pipeline whose manifest is missing: the tasks that were begun, and what it printed."""
    config = folder / "run.json"
    config.write_text(json.dumps(CONFIG | changes))
    command = [sys.executable, "-m", "components.cli", "pipeline", "run", "--config", str(config)]
    done = subprocess.run(
        [*command, "--artifacts", "artifacts", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Error: pipeline edit_dataset failed" in done.stderr
    (outcome,) = (folder / changes.get("run", "run") / "outcomes").iterdir()
    assert json.loads(outcome.read_text("utf-8"))["state"] == "FAILED"
    said = done.stdout + done.stderr
    return re.findall(r"Looking for component `(\w+)`", said), said


def test_a_failing_task_is_tried_once_and_nothing_follows_it(tmp_path: Path) -> None:
    """With Kubeflow's retries it would pause for more than a minute before it failed."""
    begun, said = fail(tmp_path)
    assert begun == ["check", "ingest", "record_outcome"]
    assert "missing.yaml does not exist: check the manifest's uri" in said
    assert "Warning" not in said


def test_a_wrong_parameter_fails_before_any_step(tmp_path: Path) -> None:
    begun, said = fail(tmp_path, "--param", "gpus=many")
    assert begun == ["check", "record_outcome"]
    assert "gpus is 'many', but must be a Kubernetes quantity" in said


def test_templates_in_a_configuration_arrive_as_they_stand(tmp_path: Path) -> None:
    text = " ".join(TEMPLATES)
    begun, said = fail(tmp_path, run=f"run {text}", manifest=f"a {text}.yaml")
    assert begun == ["check", "ingest", "record_outcome"]
    assert f"{tmp_path}/a {text}.yaml does not exist" in said
