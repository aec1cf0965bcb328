"""What fails for a passing reason is tried again by the same run, after growing delays."""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from components.run.runner import Runner
from components.storage.tables import read_table
from tests.integration.test_resume import TUNERS
from tests.runs import run_config, write_manifest

pytestmark = pytest.mark.soak
KILLS = 2


class Killer(threading.Thread):
    """SIGKILLs the tuning worker each time it has written a checkpoint, ``KILLS`` times."""

    def __init__(self, checkpoints: Path, title: str) -> None:
        super().__init__(daemon=True)
        self._title = title
        self._checkpoints = checkpoints
        self.killed: list[int] = []

    def run(self) -> None:
        seen, deadline = 0, time.monotonic() + 240
        while len(self.killed) < KILLS and time.monotonic() < deadline:
            time.sleep(0.02)
            written = [path.stat().st_mtime_ns for path in self._checkpoints.glob("*.safetensors")]
            if max(written, default=0) > seen:
                seen = max(written)
                self._kill()

    def _kill(self) -> None:
        for process in psutil.process_iter(["cmdline"]):
            if any(self._title in part for part in process.info["cmdline"] or ()):
                os.kill(process.pid, signal.SIGKILL)
                self.killed.append(process.pid)


@pytest.mark.parametrize("flow", TUNERS)
def test_a_worker_that_dies_too_often_is_tried_again(
    tiny_run: dict[str, Any], tiny_clips: Path, caplog: pytest.LogCaptureFixture, *, flow: bool
) -> None:
    video = {"id": "fish", "uri": str(tiny_clips / "fish.mp4"), "prompt": "a red fish"}
    write_manifest(tiny_run, [video])
    tiny_run["tune"] = {"steps": 300, "checkpoint_every": 20, "checkpoint_upload_seconds": 0}
    tiny_run["ray"] |= {"max_restarts": 0, "flow": flow}  # each death is a failure
    tiny_run["retry_seconds"] = 1
    killer = Killer(Path(tiny_run["run"]) / "checkpoints", TUNERS[flow])
    killer.start()
    runner = Runner(run_config(tiny_run))
    with caplog.at_level(logging.INFO, logger="components"):
        result = runner.run(("ingest", "caption", "tune"))
    killer.join()
    assert len(killer.killed) == KILLS
    assert result.failed_fraction == 0
    assert result.computed["tune"] == 1
    failures = read_table(runner.store, "failures")
    assert [(row["step"], row["attempt"], row["retryable"]) for row in failures] == [
        ("tune", 1, True),
        ("tune", 2, True),
    ]
    delays = re.findall(r"1 failed for a passing reason: again in (\d+) s", caplog.text)
    assert delays == ["1", "2"]
