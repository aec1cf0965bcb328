"""A small run on one warm worker, and what becomes of it when that is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from components.run.runner import Runner, _own_workers
from components.steps.step import ItemWorker, StepContext
from components.storage.tables import read_table
from tests.runs import counts, run_config, tiny_videos, write_manifest

STEPS = ("ingest", "caption", "tune", "sample", "score")


def noting(pids: Path, deadly: str = "") -> Mapping[str, Callable[[StepContext], ItemWorker]]:
    """The steps' own workers, which note their processes.

    The first one of a deadly step kills its process when it has computed its first task, before
    the driver hears of it.
    """

    def note(make: Callable[[StepContext], ItemWorker], step: str) -> Any:
        def made(context: StepContext) -> Any:
            first = not (pids / step).exists()
            with (pids / step).open("a") as file:
                file.write(f"{os.getpid()}\n")
            worker = make(context)
            return Dying(worker) if step == deadly and first else worker

        return made

    return {step: note(make, step) for step, make in _own_workers().items()}


class Dying:
    """A worker whose process is killed."""

    def __init__(self, worker: ItemWorker) -> None:
        self._worker = worker
        self.skip_committed = worker.skip_committed
        self.commit_each = worker.commit_each

    def __call__(self, items: Any) -> None:
        self._worker(items)
        os.kill(os.getpid(), signal.SIGKILL)


def processes(pids: Path) -> dict[str, list[str]]:
    return {step: (pids / step).read_text().split() for step in STEPS}


def test_one_process_does_all_steps_and_pools_have_one_each(
    tiny_run: dict[str, Any], tiny_clips: Path, tmp_path: Path
) -> None:
    write_manifest(tiny_run, tiny_videos(tiny_clips))
    pids = tmp_path / "pids"
    pids.mkdir()
    warm = Runner(run_config(tiny_run), workers=noting(pids)).run()
    assert counts(warm) == {"ingest": 2, "caption": 1, "tune": 2, "sample": 3, "score": 3}
    assert warm.failed_fraction == 0
    assert len({pid for found in processes(pids).values() for pid in found}) == 1

    pools = tmp_path / "pools"
    pools.mkdir()
    tiny_run |= {"run": tiny_run["run"] + "-pools", "ray": tiny_run["ray"] | {"warm_videos": 0}}
    pooled = Runner(run_config(tiny_run), workers=noting(pools)).run()
    assert counts(pooled) == counts(warm)
    assert len({pid for found in processes(pools).values() for pid in found}) == len(STEPS)
    for table, key in (("adapters", "adapter_key"), ("edits", "edit_key"), ("scores", "score_key")):
        found = [
            {row[key]: row.get("decoded_sha256") for row in read_table(run.state.store, table)}
            for run in (warm, pooled)
        ]
        assert found[0] == found[1]
        assert found[0]
    edits = [
        {row["edit_key"]: row["sha256"] for row in read_table(run.state.store, "edits")}
        for run in (warm, pooled)
    ]
    assert edits[0] == edits[1]


@pytest.mark.parametrize("deadly", ["ingest", "tune", "score"])
def test_what_a_killed_process_committed_stands_and_the_rest_is_done(
    tiny_run: dict[str, Any], tiny_clips: Path, tmp_path: Path, deadly: str
) -> None:
    write_manifest(tiny_run, tiny_videos(tiny_clips))
    pids = tmp_path / "pids"
    pids.mkdir()
    result = Runner(run_config(tiny_run), workers=noting(pids, deadly)).run()
    assert counts(result) == {"ingest": 2, "caption": 1, "tune": 2, "sample": 3, "score": 3}
    assert result.failed_fraction == 0
    assert len(set(processes(pids)[deadly])) == 2, "nobody was killed, so nothing was shown"
    store = result.state.store
    assert read_table(store, "failures") == []
    rows = {"videos": 2, "captions": 2, "adapters": 2, "latents": 2, "edits": 3, "scores": 3}
    assert {table: len(read_table(store, table)) for table in rows} == rows
