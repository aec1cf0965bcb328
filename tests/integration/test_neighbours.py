"""Two Rays on one machine: what Ray Train cleans up must be its own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from components.run.runner import Runner
from tests.integration.checkpoints import Watch
from tests.runs import run_config, tiny_document, write_manifest

pytestmark = pytest.mark.soak

EVERY = 5


@pytest.mark.usefixtures("ray_address")  # the other one
def test_a_lost_controller_gives_its_place_back(
    tmp_path: Path, tiny_models: Path, tiny_clips: Path
) -> None:
    document = tiny_document(tmp_path, tiny_models)
    # One CPU: where the lost controller's worker group still holds it, nothing goes on.
    tune = {"steps": 60, "checkpoint_every": EVERY, "checkpoint_upload_seconds": 0}
    document |= {"ray": {"num_cpus": 1, "flow": False}, "tune": tune}
    video = {"id": "fish", "uri": str(tiny_clips / "fish.mp4"), "prompt": "a red fish"}
    write_manifest(document, [video])
    killed: list[int] = []

    def kill_controller(_: str, step: int) -> None:
        if not killed and step >= EVERY:
            for process in psutil.Process().children(recursive=True):
                if "TrainController" in " ".join(process.cmdline()):
                    os.kill(process.pid, signal.SIGKILL)
                    killed.append(process.pid)

    with Watch(Path(document["run"]) / "checkpoints", kill_controller):
        result = Runner(run_config(document)).run()

    assert killed, "no controller was killed, so nothing was shown"
    assert result.failed_fraction == 0
