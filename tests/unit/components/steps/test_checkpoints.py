"""Checkpoints on the node and in the store: which is written when, which is read, what is lost."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from components.errors import UserError
from components.steps import notice
from components.steps.checkpoints import StoredCheckpoint
from components.storage.local import LocalStore
from components.storage.tables import read_table
from tests.tuning import KEY, tune_clip

NAME = f"checkpoints/{KEY}.safetensors"


class Clock:
    """Seconds that a test lets pass."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node's disk of the test's own."""
    folder = tmp_path / "node"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "run"))


def state(folder: Path, step: int) -> Path:
    path = folder / f"state-{step}.safetensors"
    save_file({"x": torch.full((3,), float(step))}, path, metadata={"step": str(step)})
    return path


def read_step(checkpoint: StoredCheckpoint, folder: Path) -> int | None:
    path = folder / "read.safetensors"
    path.unlink(missing_ok=True)
    return int(load_file(path)["x"][0]) if checkpoint.read(path) else None


def stored_step(run: Path) -> int | None:
    path = run / NAME
    if not path.exists():
        return None
    with safe_open(path, "pt") as file:
        return int(file.metadata()["step"])


@pytest.mark.usefixtures("node")
def test_the_store_gets_one_at_its_own_pace(store: LocalStore, tmp_path: Path) -> None:
    clock = Clock()
    checkpoint = StoredCheckpoint(store, KEY, 600, clock=clock)
    assert read_step(checkpoint, tmp_path) is None
    uploads = []
    for step in range(1, 13):
        clock.now += 130
        checkpoint.write(state(tmp_path, step))
        uploads.append(stored_step(tmp_path / "run"))
        assert read_step(checkpoint, tmp_path) == step
    assert uploads == [None] * 4 + [5] * 5 + [10] * 3
    checkpoint.delete()
    assert read_step(checkpoint, tmp_path) is None


@pytest.mark.usefixtures("node")
def test_zero_uploads_each(store: LocalStore, tmp_path: Path) -> None:
    checkpoint = StoredCheckpoint(store, KEY, 0)
    checkpoint.write(state(tmp_path, 1))
    assert stored_step(tmp_path / "run") == 1


def test_the_later_one_is_read(store: LocalStore, node: Path, tmp_path: Path) -> None:
    here = StoredCheckpoint(store, KEY, 600)
    here.write(state(tmp_path, 3))
    store.write_file(NAME, state(tmp_path, 5))  # by another node, where it went on
    assert read_step(here, tmp_path) == 5
    here.write(state(tmp_path, 7))
    assert read_step(here, tmp_path) == 7
    (local,) = node.glob("*/*.safetensors")
    local.write_bytes(b"torn")
    assert read_step(here, tmp_path) == 5
    store.write_bytes(NAME, b"torn, too")
    # Whoever resumes says that it is of no use.
    assert here.read(tmp_path / "read.safetensors")


@pytest.mark.usefixtures("node")
def test_two_runs_on_a_node_do_not_meet(tmp_path: Path) -> None:
    one, other = (StoredCheckpoint(LocalStore(str(tmp_path / n)), KEY, 600) for n in "ab")
    one.write(state(tmp_path, 3))
    assert read_step(other, tmp_path) is None


def test_what_is_stale_on_a_node_goes(store: LocalStore, node: Path, tmp_path: Path) -> None:
    StoredCheckpoint(store, "old", 600).write(state(tmp_path, 3))
    StoredCheckpoint(store, "new", 600).write(state(tmp_path, 3))
    (old,) = node.glob("*/*-old.safetensors")
    day_ago = time.time() - 25 * 3600
    os.utime(old, (day_ago, day_ago))
    assert not StoredCheckpoint(store, KEY, 600).read(tmp_path / "read")
    assert [path.name[-15:] for path in node.glob("*/*")] == ["new.safetensors"]


def test_a_folder_of_others_is_refused(store: LocalStore, node: Path, tmp_path: Path) -> None:
    (node / f"tav-checkpoints-{os.getuid()}").symlink_to(tmp_path)
    with pytest.raises(UserError, match="set TMPDIR"):
        StoredCheckpoint(store, KEY, 600).read(tmp_path / "read")


def test_others_cannot_look_into_it(store: LocalStore, node: Path, tmp_path: Path) -> None:
    StoredCheckpoint(store, KEY, 600).write(state(tmp_path, 1))
    (folder,) = node.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.fixture
def heeded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """SIGTERM is a notice in this process, which was given none so far."""
    monkeypatch.setattr(notice, "_given", threading.Event())
    # Another test's Ray may have left its own handler here.
    former = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    notice.heed_sigterm()
    yield
    signal.signal(signal.SIGTERM, former)


def tell_at(node: Path, step: int) -> threading.Thread:
    """Send this process SIGTERM when a node's disk has a checkpoint of that step."""

    def tell() -> None:
        deadline = time.monotonic() + 300
        while (node_step(node) or 0) < step and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    return thread


def node_step(node: Path) -> int | None:
    for path in node.glob("tav-checkpoints-*/*.safetensors"):
        # It may be moved to its place at this moment.
        with contextlib.suppress(OSError, SafetensorError), safe_open(path, "pt") as file:
            return int(file.metadata()["step"])
    return None


@pytest.mark.usefixtures("heeded")
def test_a_worker_that_is_told_to_stop_loses_no_step(
    node: Path,
    tmp_path: Path,
    tiny_models: Path,
    tiny_clips: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run, clip = tmp_path / "run", tiny_clips / "fish.mp4"
    steps: dict[str, int] = {"steps": 40, "checkpoint_every": 1}
    teller = tell_at(node, 3)
    with pytest.raises(notice.Preempted, match="goes on from this very step"):
        tune_clip(run, tiny_models, clip, **steps)
    teller.join()
    ended = stored_step(run)
    assert ended is not None, "its state is in the store"
    assert 3 <= ended < 40
    assert node_step(node) == ended, "it took no step after that"
    assert not read_table(LocalStore(str(run)), "failures")

    # On another node, of another disk, it goes on from there and ends with the same bits.
    monkeypatch.setattr(notice, "_given", threading.Event())
    shutil.rmtree(node)
    node.mkdir()
    with caplog.at_level(logging.INFO):
        tune_clip(run, tiny_models, clip, **steps)
        tune_clip(tmp_path / "whole", tiny_models, clip, **steps)
    assert [r.message for r in caplog.records if "resuming" in r.message] == [
        f"video_id=v resuming at step {ended}"
    ]
    adapters = []
    for root in (run, tmp_path / "whole"):
        (row,) = read_table(LocalStore(str(root)), "adapters")
        adapters.append(load_file(root / row["uri"]))
        assert stored_step(root) is None
    assert node_step(node) is None
    assert all(torch.equal(t, adapters[1][n]) for n, t in adapters[0].items())


@pytest.mark.usefixtures("heeded")
def test_without_long_work_sigterm_ends_the_process_as_before() -> None:
    """The handler of before is Python's own here, which ends it at once: so is ours."""
    with pytest.raises(SystemExit) as ended:
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 128 + signal.SIGTERM


def test_in_another_thread_the_handler_stays_and_that_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    former = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=notice.heed_sigterm)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is former
    assert "not its main thread" in caplog.text
