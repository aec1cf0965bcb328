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


def test_a_local_ray_without_a_dashboard_gets_one_when_ray_train_is_needed(
    tmp_path: Path, tiny_models: Path
) -> None:
    import ray
    from ray.util.state import list_nodes

    before = set(psutil.Process().children(recursive=True))  # a former test's may still be ending
    with Cluster(run_config(tiny_document(tmp_path, tiny_models))) as cluster:
        addresses = []
        for train in (False, False, True, False):
            cluster.start(train=train)
            addresses.append(ray.get_runtime_context().gcs_address)
            processes = set(psutil.Process().children(recursive=True)) - before
            titles = {" ".join(one.cmdline()) for one in processes}
            # What Ray Train's clean-up asks.
            assert any("StateHead" in title for title in titles) is (len(set(addresses)) > 1)
        assert addresses[0] == addresses[1] != addresses[2] == addresses[3]
        assert [node.state for node in list_nodes()] == ["ALIVE"]
