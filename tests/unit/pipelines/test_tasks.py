"""What the tasks do, apart from the steps themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.errors import UserError
from pipelines import tasks

CONFIG = {"run": "s3://b/runs", "manifest": "s3://b/m.yaml", "model": {"base": "tinyworld"}}


def test_an_evaluation_has_a_run_of_its_own() -> None:
    config = json.dumps(CONFIG)
    assert tasks.run_config(config).run == "s3://b/runs"
    assert tasks.run_config(config, "nightly-1").run == "s3://b/runs/nightly-1"
    for name in ("../x", "a/b", "A", "-a", "a" * 129, "a\n"):
        with pytest.raises(UserError, match="names a folder"):
            tasks.run_config(config, name)


def test_an_evaluation_that_is_not_pinned_is_refused() -> None:
    tasks.check_pins(json.dumps(CONFIG), "")
    with pytest.raises(UserError, match=r"asks for 9\.9\.9"):
        tasks.check_pins(json.dumps(CONFIG), "9.9.9")
    hub = CONFIG | {"model": {"base": "CompVis/stable-diffusion-v1-4"}}
    with pytest.raises(UserError, match=r"has no model\.revision"):
        tasks.check_pins(json.dumps(hub), "")
    pinned = CONFIG | {"model": {"base": "CompVis/stable-diffusion-v1-4", "revision": "133a221b"}}
    tasks.check_pins(json.dumps(pinned), "")


def test_outcomes_are_kept_by_execution_and_never_leave_their_folder(tmp_path: Path) -> None:
    config = tasks.run_config(json.dumps(CONFIG | {"run": str(tmp_path / "run")}))
    tasks.record_outcome(config, "edit-1", {"state": "FAILED", "error_message": "no GPU"})
    tasks.record_outcome(config, "../../evil", {"state": "SUCCEEDED"})
    folder = tmp_path / "run" / tasks.OUTCOMES
    assert {path.name for path in folder.iterdir()} == {"edit-1.json", "______evil.json"}
    found = json.loads((folder / "edit-1.json").read_text())
    assert (found["state"], found["error_message"]) == ("FAILED", "no GPU")
    assert "holds no run.json" in found["status"]  # it failed before there was a run
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_would_fail_hours_later_is_refused_at_once() -> None:
    config, here = json.dumps(CONFIG), '{"mode": "local"}'
    good = {"cpus": "500m", "memory": "1.5Gi", "gpus": "0"}
    tasks.check(config, here, good, "nvidia.com/gpu")
    for memory in ("32 GB", "lots", "", "-1G", "1e"):
        with pytest.raises(UserError, match=r"memory is .*must be a Kubernetes quantity"):
            tasks.check(config, here, good | {"memory": memory}, "nvidia.com/gpu")
    with pytest.raises(UserError, match="accelerator is 'gpu'"):
        tasks.check(config, here, good, "gpu")
    with pytest.raises(UserError, match="did you mean 'address'"):
        tasks.check(config, '{"mode": "address", "adress": "http://h"}', good, "nvidia.com/gpu")
