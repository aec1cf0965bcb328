"""A Ray of three raylets on one machine: tunings spread over them, and one of them is lost."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from components.run.runner import Runner
from tests.integration.checkpoints import Watch
from tests.runs import run_config, write_manifest

pytestmark = pytest.mark.soak

EVERY = 20
STEPS = 400


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Three nodes with resources of their own: a head and two more, one CPU each."""
    from ray.cluster_utils import Cluster

    nodes = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    try:
        for _ in range(2):
            nodes.add_node(num_cpus=1)
        nodes.wait_for_nodes()
        yield nodes
    finally:
        nodes.shutdown()


def raylet_pid(node: Any) -> int:
    (process,) = node.all_processes["raylet"]
    pid: int = process.process.pid
    return pid


def tuning_nodes(nodes: list[Any]) -> set[int]:
    """The raylets below which a Ray Train worker is at work."""
    return {raylet for raylet in map(raylet_pid, nodes) if _tunes(psutil.Process(raylet))}


def _tunes(raylet: psutil.Process) -> bool:
    for child in raylet.children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it may be gone since
            if "RayTrainWorker" in " ".join(child.cmdline()):
                return True
    return False


def test_tuning_spreads_over_nodes_and_outlives_one(
    tiny_run: dict[str, Any], tiny_clips: Path, cluster: Any
) -> None:
    names = ("fish", "car", "pair")
    write_manifest(
        tiny_run,
        [
            {"id": name, "uri": str(tiny_clips / f"{name}.mp4"), "prompt": f"a {name}"}
            for name in names
        ],
    )
    tiny_run["tune"] = {"steps": STEPS, "checkpoint_every": EVERY, "checkpoint_upload_seconds": 0}
    tiny_run["ray"] = {"address": cluster.address, "workers": 3, "flow": False}
    nodes = [cluster.head_node, *cluster.worker_nodes]
    seen: set[int] = set()
    killed: dict[str, int] = {}
    """How far each tuning was when the raylet was killed, by its key."""

    def kill_one() -> None:
        """As soon as all three are at work, take the last node away."""
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and not killed:
            seen.update(tuning_nodes(nodes))
            if len(watch.steps) == 3 and len(tuning_nodes(nodes)) == 3:
                killed.update({key: steps[-1] for key, steps in watch.steps.items()})
                cluster.remove_node(nodes.pop(), allow_graceful=False)
            time.sleep(0.05)

    with Watch(Path(tiny_run["run"]) / "checkpoints") as watch:
        killer = threading.Thread(target=kill_one, daemon=True)
        killer.start()
        runner = Runner(run_config(tiny_run))
        result = runner.run(["ingest", "caption", "tune"])
        killer.join()

    assert len(seen) == 3, "tuning did not spread over the nodes"
    assert killed, "no raylet was killed, so nothing was shown"
    assert result.status.steps["tune"].done == 3
    assert runner.state().open_failures == []
    for key, steps in watch.steps.items():
        assert steps == sorted(set(steps)), "a tuning went back behind a checkpoint"
        after = [step for step in steps if step > killed[key]]
        # At most what lay between two checkpoints was computed twice.
        assert not after or after[0] <= killed[key] + 2 * EVERY
