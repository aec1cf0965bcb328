"""Steps as jobs of a real Ray head: submitted, followed, adopted, and stopped with their caller."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from components.errors import UserError
from components.launch import StepFailed, Where, launch_step
from components.launch.ray_jobs import RayJobs
from components.run.record import load_run
from tests.integration.ray_head import free_ports, ray_head
from tests.runs import run_config, write_manifest

HOSTILE = "run $(touch pwned) `touch pwned` '; touch pwned; \" & é\u2028"


@pytest.fixture(scope="module")
def dashboard() -> Iterator[str]:
    with ray_head() as address:
        yield address


@pytest.fixture
def document(tmp_path: Path, tiny_models: Path, tiny_clips: Path) -> dict[str, Any]:
    document = {
        "run": str(tmp_path / HOSTILE),
        "manifest": str(tmp_path / "manifest.yaml"),
        "model": {"base": str(tiny_models / "base")},
        "video": {"num_frames": 4, "width": 64, "height": 64},
        "tune": {"steps": 2},
        "invert": {"steps": 2},
        "score": {"model": str(tiny_models / "clip")},
    }
    edits = [{"id": "shark", "prompt": "a $(touch pwned) shark"}]
    fish = {"id": "fish", "uri": str(tiny_clips / "fish.mp4"), "prompt": "a fish", "edits": edits}
    write_manifest(document, [fish])
    return document


def at(dashboard: str, **settings: Any) -> Where:
    return Where(mode="address", address=dashboard, **settings)


def wait_until(met: Callable[[], bool], seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < until
        time.sleep(0.5)


def drivers() -> list[int]:
    """Processes of the jobs of these tests' head."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "components.launch" in line and process.pid != os.getpid():
            found.append(process.pid)
    return found


def test_a_step_runs_as_a_job_and_a_second_call_finds_its_rows(
    dashboard: str,
    document: dict[str, Any],
    capfd: pytest.CaptureFixture[str],
) -> None:
    config = run_config(document)
    outcome = launch_step("ingest", config, at(dashboard))
    assert (outcome.attempt, outcome.adopted) == (0, False)
    assert set(load_run(document["run"]).first.videos) == {"fish"}
    log = capfd.readouterr().err
    assert "step=ingest 1 to do" in log
    assert log.count('"computed": {"ingest": 1}') == 1

    # A finished job is no answer: the next one looks, finds every row, and starts nothing.
    outcome = launch_step("ingest", config, at(dashboard))
    assert (outcome.attempt, outcome.adopted) == (1, False)
    assert '"computed": {"ingest": 0}, "used_ray": false' in capfd.readouterr().err

    # A video that is gone fails the step for good: no second attempt.
    write_manifest(document, [{"id": "gone", "uri": "/gone.mp4", "prompt": "x", "edits": []}])
    with pytest.raises(StepFailed, match="exit code 3"):
        launch_step("ingest", config, at(dashboard, attempts=3))
    names = [job.submission_id or "" for job in RayJobs(dashboard)._client.list_jobs()]
    ours = [name[-2:] for name in names if name.startswith("tav-")]
    assert sorted(ours) == ["-0", "-1", "-2"]
    for folder in (Path.cwd(), Path(document["run"]).parent, Path.home()):
        assert not (folder / "pwned").exists()


@pytest.mark.soak
def test_a_job_outlives_a_killed_caller_and_ends_with_a_stopped_one(
    dashboard: str,
    document: dict[str, Any],
    tmp_path: Path,
) -> None:
    document["tune"] = {"steps": 1_000_000}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    client = RayJobs(dashboard)._client
    before = {job.submission_id for job in client.list_jobs()}

    def new_jobs() -> dict[str, str]:
        jobs = {job.submission_id: job.status.value for job in client.list_jobs()}
        return {name: status for name, status in jobs.items() if name and name not in before}

    command = [sys.executable, "-m", "components.cli", "submit", "--ray", dashboard]
    command += ["--config", str(tmp_path / "run.yaml")]
    with (tmp_path / "first.log").open("w") as log, subprocess.Popen(command, stderr=log) as first:
        wait_until(lambda: "step=tune 1 to do" in (tmp_path / "first.log").read_text())
        first.kill()
    assert len(drivers()) == 1
    with (
        (tmp_path / "second.log").open("w") as log,
        subprocess.Popen(command, stderr=log) as second,
    ):
        # The adopter sees the log from its start.
        wait_until(lambda: "step=tune 1 to do" in (tmp_path / "second.log").read_text())
        assert list(new_jobs().values()) == ["RUNNING"]
        second.terminate()
        assert second.wait(60) != 0
    text = (tmp_path / "second.log").read_text()
    assert "is under way already" in text
    assert "stopping tav-run-" in text
    assert "not been seen to end" not in text
    assert list(new_jobs().values()) == ["STOPPED"]
    wait_until(lambda: not drivers(), 10)


def test_a_wrong_address_or_token_is_one_clear_error(
    dashboard: str,
    document: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    command = [sys.executable, "-m", "components.cli", "submit", "--ray", dashboard]
    done = subprocess.run(
        [*command, "--config", str(tmp_path / "run.yaml")],
        env=os.environ | {"RAY_AUTH_TOKEN": "0" * 64},  # Ray reads it once in a process
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "wants a token: set RAY_AUTH_MODE=token" in done.stderr
    assert "Traceback" not in done.stderr
    config = run_config(document)
    (closed,) = free_ports(1)
    with pytest.raises(UserError, match=f"no Ray dashboard answers at http://127.0.0.1:{closed}"):
        launch_step("ingest", config, at(f"http://127.0.0.1:{closed}"))
    monkeypatch.setenv("RAY_ADDRESS", "http://elsewhere:8265")
    with pytest.raises(UserError, match="RAY_ADDRESS is 'http://elsewhere:8265'"):
        launch_step("ingest", config, at(dashboard))
