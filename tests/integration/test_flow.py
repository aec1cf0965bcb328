"""A run whose videos go on at their own pace, and what becomes of it when workers are killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from components.run.runner import Runner
from components.run.stepwise import own_workers
from components.steps.sample import SampleWorker
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

    return {step: note(make, step) for step, make in own_workers().items()}


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
def test_the_steps_one_after_the_other_make_the_same_rows(
    tiny_run: dict[str, Any], tiny_clips: Path, tmp_path: Path
) -> None:
    write_manifest(tiny_run, tiny_videos(tiny_clips))
    found = []
    for flow in (True, False):
        pids = tmp_path / f"pids-{flow}"
        pids.mkdir()
        ray = tiny_run["ray"] | {"flow": flow}
        document = tiny_run | {"run": f"{tiny_run['run']}-{flow}", "ray": ray}
        result = Runner(run_config(document), workers=noting(pids)).run()
        assert counts(result) == COUNTS
        used = {pid for step in processes(pids).values() for pid in step}
        assert (len(used) == 1) is flow
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


class Fetching:
    """A sampling worker's store, which notes what is fetched."""

    def __init__(self, worker: SampleWorker, notes: Path) -> None:
        self._store, self._notes = worker._store, notes
        worker._artefacts._store = cast("Any", self)

    def fetch_checked(self, uri: str, path: Path, sha256: str) -> None:
        with self._notes.open("a") as file:
            file.write(f"{uri}\n")
        self._store.fetch_checked(uri, path, sha256)


def test_edits_are_made_where_their_video_was_tuned_and_fetch_no_adapter(
    tiny_run: dict[str, Any], tiny_clips: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "fetched"

    def make(context: StepContext) -> ItemWorker:
        worker = SampleWorker(context)
        Fetching(worker, notes)
        return worker

    workers = {**own_workers(), "sample": make}
    write_manifest(tiny_run, tiny_videos(tiny_clips))
    config = run_config(tiny_run)
    assert counts(Runner(config, workers=workers).run()) == COUNTS
    assert not notes.exists()

    videos = tiny_videos(tiny_clips)
    videos[0]["edits"].append({"id": "late", "category": "style", "prompt": "{caption}, late"})
    write_manifest(tiny_run, videos)
    assert counts(Runner(config, workers=workers).run()) == {"sample": 1, "score": 1}
    assert len(notes.read_text().splitlines()) == 1, "of an earlier run it is fetched"


class Poisoned:
    """A worker whose process dies at one video, always."""

    def __init__(self, worker: ItemWorker, video_id: str) -> None:
        self._worker, self._poison = worker, video_id
        self.commit_each = worker.commit_each

    def __call__(self, items: Any) -> Any:
        if any(item.video_id == self._poison for item in items):
            os.kill(os.getpid(), signal.SIGKILL)
        return self._worker(items)


@pytest.mark.parametrize("step", ["tune", pytest.param("sample", marks=pytest.mark.soak)])
def test_what_workers_die_at_becomes_a_failure_and_the_rest_is_done(
    tiny_run: dict[str, Any], tiny_clips: Path, step: str
) -> None:
    own = own_workers()[step]
    workers: dict[str, Any] = {
        **own_workers(),
        step: lambda context: Poisoned(own(context), "fish"),
    }
    write_manifest(tiny_run, tiny_videos(tiny_clips))
    tiny_run["ray"] |= {"max_restarts": 1}
    tiny_run["max_attempts"] = 1
    result = Runner(run_config(tiny_run), workers=workers).run()
    failures = read_table(result.state.store, "failures")
    expected = (
        [("tune", None)] if step == "tune" else [("sample", "fish/shark"), (step, "fish/cartoon")]
    )
    assert sorted((row["step"], row["edit_id"]) for row in failures) == sorted(expected)
    assert all("died 2 times" in row["message"] for row in failures)
    assert result.status.steps["score"].done == 1, "of the other video"
