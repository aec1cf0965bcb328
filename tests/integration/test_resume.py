"""A tuning whose worker is killed goes on from its checkpoint and ends with the same bits."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors.torch import load_file

from components.run.runner import Runner
from tests.integration.runs import run_config, write_manifest


def kill_tuning_worker(checkpoints: Path, killed: list[int]) -> None:
    """SIGKILL the Ray Train worker as soon as it has written a checkpoint."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if any(checkpoints.glob("*.safetensors")):
            for process in psutil.process_iter(["cmdline"]):
                if any("RayTrainWorker" in part for part in process.info["cmdline"] or ()):
                    os.kill(process.pid, signal.SIGKILL)
                    killed.append(process.pid)
            if killed:
                return
        time.sleep(0.02)


def test_a_killed_worker_resumes_bit_for_bit(tiny_run: dict[str, Any], tiny_clips: Path) -> None:
    video = {"id": "fish", "uri": str(tiny_clips / "fish.mp4"), "prompt": "a red fish"}
    write_manifest(tiny_run, [video])
    tiny_run["tune"] = {"steps": 60, "checkpoint_every": 10}

    undisturbed = tiny_run | {"run": tiny_run["run"] + "-undisturbed"}
    runner = Runner(run_config(undisturbed))
    runner.run()
    (expected,) = runner.state().adapters.values()

    killed: list[int] = []
    checkpoints = Path(tiny_run["run"]) / "checkpoints"
    killer = threading.Thread(target=kill_tuning_worker, args=(checkpoints, killed), daemon=True)
    killer.start()
    runner = Runner(run_config(tiny_run))
    result = runner.run()
    killer.join()

    assert killed, "no worker was killed, so nothing was shown"
    assert result.failed_fraction == 0
    (adapter,) = runner.state().adapters.values()
    assert adapter["final_loss"] == expected["final_loss"]
    # The files themselves may differ: safetensors writes its metadata in no fixed order.
    tensors = load_file(Path(tiny_run["run"]) / adapter["uri"])
    wanted = load_file(Path(undisturbed["run"]) / expected["uri"])
    assert tensors.keys() == wanted.keys()
    assert all(torch.equal(tensors[name], wanted[name]) for name in wanted)
    assert not list(checkpoints.glob("*"))
