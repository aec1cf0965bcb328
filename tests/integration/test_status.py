"""`tav status` of a run that is at work, and of one whose driver was killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.storage.local import LocalStore
from components.storage.tables import read_table
from tests.runs import write_manifest

TAV = (sys.executable, "-m", "components.cli")


def status(run: Path) -> dict[str, Any]:
    done = subprocess.run(
        [*TAV, "status", str(run), "--json"], capture_output=True, text=True, check=False
    )
    return json.loads(done.stdout)["steps"] if done.returncode == 0 else {}


def until_tuning(run: Path) -> dict[str, Any]:
    """Wait until one video is tuned and another is left."""
    for _ in range(600):
        # A look at the table costs less than the command, which the run would have to wait for.
        if run.exists() and read_table(LocalStore(run), "adapters"):
            found = status(run)
            assert found["tune"]["done"] < found["tune"]["total"]
            return found
        time.sleep(0.2)
    raise AssertionError("no video was tuned")


@pytest.mark.soak
def test_a_run_at_work_and_after_a_sigkill(
    tiny_run: dict[str, Any], tiny_clips: Path, tmp_path: Path
) -> None:
    videos = [
        {"id": name, "uri": str(tiny_clips / f"{name}.mp4"), "prompt": "a thing"}
        for name in ("fish", "car", "pair")
    ]
    write_manifest(tiny_run, videos)
    tiny_run["tune"] = {"steps": 300, "checkpoint_every": 0}
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(tiny_run), encoding="utf-8")
    run = Path(tiny_run["run"])
    with subprocess.Popen(
        [*TAV, "run", "--config", str(config)], stderr=subprocess.DEVNULL, start_new_session=True
    ) as driver:
        at_work = until_tuning(run)
        assert driver.poll() is None
        os.killpg(driver.pid, signal.SIGKILL)
    assert at_work["ingest"] == at_work["ingest"] | {"total": 3, "done": 3, "left": 0}
    left = 3 - at_work["tune"]["done"]
    assert at_work["tune"] == at_work["tune"] | {"total": 3, "failed": 0, "left": left}
    assert at_work["tune"]["seconds"] > 0
    assert at_work["tune"]["gpu_seconds"] == 0

    # The machine is gone; a copy of the root tells the same.
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(run, elsewhere)
    found = status(elsewhere)
    assert found["ingest"] == at_work["ingest"]
    assert 1 <= found["tune"]["done"] < 3
    assert found["tune"]["left"] == 3 - found["tune"]["done"]
    with subprocess.Popen(
        [*TAV, "status", str(elsewhere), "--watch", "--every", "0.1", "--json"],
        stdout=subprocess.PIPE,
        text=True,
    ) as watch:
        assert watch.stdout is not None
        looks = [json.loads(watch.stdout.readline())["steps"] for _ in range(2)]
        assert watch.poll() is None  # something is left, so it looks on
        watch.terminate()
    assert looks == [found, found]
