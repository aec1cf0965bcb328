"""Ray's own start, disturbed."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psutil
import pytest

from components.run.cluster import Cluster
from tests.runs import run_config, tiny_document

pytestmark = pytest.mark.soak


def kill_first_raylet(killed: list[int]) -> None:
    until = time.monotonic() + 60
    while not killed and time.monotonic() < until:
        for process in psutil.Process().children():
            if (process.cmdline() or [""])[0].endswith("/raylet"):
                process.kill()
                killed.append(process.pid)
        time.sleep(0.01)


def test_a_raylet_that_dies_while_it_starts_is_started_again(
    tmp_path: Path, tiny_models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed: list[int] = []
    killer = threading.Thread(target=kill_first_raylet, args=(killed,))
    killer.start()
    with Cluster(run_config(tiny_document(tmp_path, tiny_models))) as cluster:
        cluster.start()
        killer.join()
        assert killed
        assert cluster.started
    assert "Ray did not start, trying again" in caplog.text
