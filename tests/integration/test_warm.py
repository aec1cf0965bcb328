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
COUNTS = {"ingest": 2, "caption": 1, "tune": 2, "sample": 3, "score": 3}


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


def test_one_process_does_all_steps(
    tiny_run: dict[str, Any], tiny_clips: Path, tmp_path: Path
) -> None:
    write_manifest(tiny_run, tiny_videos(tiny_clips))
    pids = tmp_path / "pids"
    pids.mkdir()
    result = Runner(run_config(tiny_run), workers=noting(pids)).run()
    assert counts(result) == COUNTS
    assert result.failed_fraction == 0
    assert len({pid for found in processes(pids).values() for pid in found}) == 1


@pytest.mark.soak
def test_pools_make_the_same_rows_in_a_process_for_each_step(
    tiny_run: dict[str, Any], tiny_clips: Path, tmp_path: Path
) -> None:
    write_manifest(tiny_run, tiny_videos(tiny_clips))
    found = []
    for warm in (16, 0):
        pids = tmp_path / f"pids-{warm}"
        pids.mkdir()
        ray = tiny_run["ray"] | {"warm_videos": warm}
        document = tiny_run | {"run": f"{tiny_run['run']}-{warm}", "ray": ray}
        result = Runner(run_config(document), workers=noting(pids)).run()
        assert counts(result) == COUNTS
        used = {pid for step in processes(pids).values() for pid in step}
        assert len(used) == (1 if warm else len(STEPS))
        store = result.state.store
        rows = {
            table: {row[key]: row.get(content) for row in read_table(store, table)}
            for table, key, content in (
                ("videos", "video_key", "sha256"),
                ("captions", "video_key", "caption"),
                ("adapters", "adapter_key", "final_loss"),
                ("latents", "adapter_key", "reconstruction_psnr"),
                ("edits", "edit_key", "sha256"),
                ("scores", "score_key", "values"),
            )
        }
        found.append(rows)
    assert found[0] == found[1]
    assert all(found[0].values())


@pytest.mark.parametrize(
    "deadly",
    [
        pytest.param("ingest", marks=pytest.mark.soak),
        "tune",
        pytest.param("score", marks=pytest.mark.soak),
    ],
)
def test_what_a_killed_process_committed_stands_and_the_rest_is_done(
    tiny_run: dict[str, Any], tiny_clips: Path, tmp_path: Path, deadly: str
) -> None:
    write_manifest(tiny_run, tiny_videos(tiny_clips))
    pids = tmp_path / "pids"
    pids.mkdir()
    result = Runner(run_config(tiny_run), workers=noting(pids, deadly)).run()
    assert counts(result) == COUNTS
    assert result.failed_fraction == 0
    assert len(set(processes(pids)[deadly])) == 2, "nobody was killed, so nothing was shown"
    store = result.state.store
    assert read_table(store, "failures") == []
    rows = {"videos": 2, "captions": 2, "adapters": 2, "latents": 2, "edits": 3, "scores": 3}
    assert {table: len(read_table(store, table)) for table in rows} == rows
