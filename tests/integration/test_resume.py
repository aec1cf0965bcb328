"""A tuning whose worker is killed or told to stop goes on and ends with the same bits."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from components.run.runner import Runner
from components.storage.tables import read_table
from tests.integration.checkpoints import Watch
from tests.runs import run_config, write_manifest

EVERY = 10
STEPS = 60


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A node's disk; its name is short, as Ray has sockets there."""
    with tempfile.TemporaryDirectory(prefix="n", dir="/tmp") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


TUNERS = {True: "FlowProcess", False: "RayTrainWorker"}
"""Who tunes, by ``ray.flow``."""
EACH_TUNER = pytest.mark.parametrize("flow", [True, pytest.param(False, marks=pytest.mark.soak)])


def signal_workers(number: signal.Signals, *, flow: bool) -> bool:
    """Send a signal to the processes that tune; say whether there was one."""
    found = False
    for process in psutil.process_iter(["cmdline"]):
        if any(TUNERS[flow] in part for part in process.info["cmdline"] or ()):
            os.kill(process.pid, number)
            found = True
    return found


@pytest.mark.soak  # the worker alone is told in its unit tests
@pytest.mark.parametrize("flow", TUNERS)
def test_a_worker_that_is_told_to_stop_loses_no_step(
    tiny_run: dict[str, Any],
    tiny_clips: Path,
    node: Path,
    caplog: pytest.LogCaptureFixture,
    *,
    flow: bool,
) -> None:
    """Its state is in the store alone: the node's disk is gone with it."""
    video = {"id": "fish", "uri": str(tiny_clips / "fish.mp4"), "prompt": "a red fish"}
    write_manifest(tiny_run, [video])
    # No death is forgiven: this is none.
    tiny_run |= {"tune": {"steps": 300, "checkpoint_every": 1}}
    tiny_run["ray"] = {"max_restarts": 0, "flow": flow}
    local = node / f"tav-checkpoints-{os.getuid()}"
    told: list[int] = []

    def tell(_: str, step: int) -> None:
        if not told and step >= EVERY and signal_workers(signal.SIGTERM, flow=flow):
            told.append(step)

    def lose_the_disk(_: str, step: int) -> None:
        saved.append(step)
        shutil.rmtree(local, ignore_errors=True)

    saved: list[int] = []
    stored = Path(tiny_run["run"]) / "checkpoints"
    with Watch(local, tell), Watch(stored, lose_the_disk):
        runner = Runner(run_config(tiny_run))
        with caplog.at_level(logging.INFO, logger="components"):
            result = runner.run(("ingest", "caption", "tune"))
    assert told, "no worker was told, so nothing was shown"
    assert result.failed_fraction == 0
    assert len(saved) == 1, "uploaded once"
    assert told[0] <= saved[0] < 300
    assert "the worker was told to stop" in caplog.text
    assert not list(stored.glob("*"))


@EACH_TUNER
def test_a_killed_worker_resumes_bit_for_bit(
    tiny_run: dict[str, Any], tiny_clips: Path, *, flow: bool
) -> None:
    video = {"id": "fish", "uri": str(tiny_clips / "fish.mp4"), "prompt": "a red fish"}
    write_manifest(tiny_run, [video])
    tiny_run["tune"] = {"steps": STEPS, "checkpoint_every": EVERY, "checkpoint_upload_seconds": 0}
    tiny_run["ray"]["flow"] = flow

    undisturbed = tiny_run | {"run": tiny_run["run"] + "-undisturbed"}
    runner = Runner(run_config(undisturbed))
    runner.run()
    (expected,) = read_table(runner.store, "adapters")

    killed_at: list[int] = []

    def kill_tuning_worker(_: str, step: int) -> None:
        if not killed_at and step >= 2 * EVERY and signal_workers(signal.SIGKILL, flow=flow):
            killed_at.append(step)

    with Watch(Path(tiny_run["run"]) / "checkpoints", kill_tuning_worker) as watch:
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
