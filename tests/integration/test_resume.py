"""A tuning whose worker is killed goes on from its checkpoint and ends with the same bits."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors.torch import load_file

from components.run.runner import Runner
from components.storage.tables import read_table
from tests.integration.checkpoints import Watch
from tests.runs import run_config, write_manifest

EVERY = 10
STEPS = 60


def test_a_killed_worker_resumes_bit_for_bit(tiny_run: dict[str, Any], tiny_clips: Path) -> None:
    video = {"id": "fish", "uri": str(tiny_clips / "fish.mp4"), "prompt": "a red fish"}
    write_manifest(tiny_run, [video])
    tiny_run["tune"] = {"steps": STEPS, "checkpoint_every": EVERY}

    undisturbed = tiny_run | {"run": tiny_run["run"] + "-undisturbed"}
    runner = Runner(run_config(undisturbed))
    runner.run()
    (expected,) = read_table(runner.store, "adapters")

    killed_at: list[int] = []

    def kill_tuning_worker(_: str, step: int) -> None:
        if not killed_at and step >= 2 * EVERY:
            for process in psutil.process_iter(["cmdline"]):
                if any("RayTrainWorker" in part for part in process.info["cmdline"] or ()):
                    os.kill(process.pid, signal.SIGKILL)
                    killed_at.append(step)

    with Watch(tiny_run["run"], kill_tuning_worker) as watch:
        runner = Runner(run_config(tiny_run))
        result = runner.run()

    assert killed_at, "no worker was killed, so nothing was shown"
    assert result.failed_fraction == 0
    (steps,) = watch.steps.values()
    after = [step for step in steps if step > killed_at[0]]
    # From step k of the last checkpoint, and not from the beginning.
    assert after[0] in (killed_at[0] + EVERY, killed_at[0] + 2 * EVERY)
    assert steps == sorted(set(steps))
    (adapter,) = read_table(runner.store, "adapters")
    assert adapter["final_loss"] == expected["final_loss"]
    # The files themselves may differ: safetensors writes its metadata in no fixed order.
    tensors = load_file(Path(tiny_run["run"]) / adapter["uri"])
    wanted = load_file(Path(undisturbed["run"]) / expected["uri"])
    assert tensors.keys() == wanted.keys()
    assert all(torch.equal(tensors[name], wanted[name]) for name in wanted)
    assert not list((Path(tiny_run["run"]) / "checkpoints").glob("*"))
