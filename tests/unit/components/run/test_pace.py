"""Speed and cost of a run's steps, from rows with known times."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from components.config import RayConfig
from components.run.pace import PAUSE, Pace, Use, run_pace, run_use
from components.run.status import Status, StepStatus
from components.storage.local import LocalStore
from components.storage.tables import append_rows
from tests.unit.components.storage.test_tables import make_row

START = dt.datetime(2026, 11, 21, 9, tzinfo=dt.UTC)
STEPS = ("ingest", "caption", "control", "tune", "sample", "score")


def measured(store: LocalStore, step: str = "sample", left: int = 0) -> Pace:
    status = Status({name: StepStatus(left, 0, 0) for name in STEPS}, 0)
    return run_pace(store, status)[step]


def commit(store: LocalStore, table: str, minutes: list[float], device: str = "cpu") -> None:
    names = {"edits": "edit_key", "adapters": "adapter_key", "latents": "adapter_key"}
    for minute in minutes:
        at = START + dt.timedelta(minutes=minute)
        key = {names[table]: f"{device} {minute}"}
        row = make_row(table, created_at=at, seconds=10.0, device=device, **key)
        append_rows(store, table, [row])


def test_pace_time_left_and_cost(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    commit(store, "edits", [0, 6, 3])  # workers commit in any order
    commit(store, "edits", [9], device="cuda:1")
    pace = measured(store, left=4)
    assert pace.per_hour == pytest.approx(20)
    assert pace.left_seconds == pytest.approx(4 * 3 * 60)
    assert (pace.seconds, pace.gpu_seconds) == (40, 10)
    assert pace.last_commit == START + dt.timedelta(minutes=9)


def test_a_night_without_work_is_no_work(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    night = 8 * 60
    assert dt.timedelta(minutes=night) > PAUSE
    commit(store, "edits", [0, 1, night, night + 2, night + 4])
    assert measured(store).per_hour == pytest.approx(30)


def test_an_inversion_belongs_to_its_tuning(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    commit(store, "adapters", [0, 10, 20])
    commit(store, "latents", [1, 11])
    pace = measured(store, "tune")
    assert pace.per_hour == pytest.approx(6)
    assert pace.seconds == 50


@pytest.mark.parametrize("minutes", [[], [0], [5, 5]])
def test_too_few_commits_tell_no_pace(tmp_path: Path, minutes: list[float]) -> None:
    store = LocalStore(tmp_path)
    commit(store, "edits", minutes)
    pace = measured(store, left=3)
    assert (pace.per_hour, pace.left_seconds) == (None, None)


def used(store: LocalStore, workers: int = 2, gpus: float = 0.0, **left: int) -> Use | None:
    steps = {name: StepStatus(left.get(name, 0), 0, 0) for name in STEPS}
    return run_use(store, Status(steps, 0), RayConfig(workers=workers, gpus_per_worker=gpus))


def test_workers_are_busy_for_the_time_that_rows_took(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    commit(store, "adapters", [1 / 6, 2 / 6])  # 10 s each
    commit(store, "edits", [3 / 6])
    found = used(store)
    assert found is not None
    assert found.busy == pytest.approx(30 / (2 * 30))
    assert found.since == START
    assert found.left_seconds == 0


def test_what_is_left_takes_as_long_as_what_was_done(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    commit(store, "adapters", [1 / 6, 2 / 6])
    commit(store, "latents", [2 / 6, 3 / 6])
    found = used(store, workers=1, tune=3)
    assert found is not None
    assert found.busy == pytest.approx(40 / 30), "as two were, of which one is gone"
    assert found.left_seconds == pytest.approx(3 * 20 / (40 / 30))
    other = used(store, tune=3, score=1)
    assert other is not None
    assert other.left_seconds is None, "nobody knows what a score takes"


def test_pauses_do_not_count_and_long_work_is_none(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    night = 8 * 60.0
    commit(store, "edits", [0.5, night + 1 / 6, night + 2 / 6])
    found = used(store, workers=1)
    assert found is not None
    assert found.busy == pytest.approx(1)
    assert found.since == START + dt.timedelta(minutes=night)
    long = make_row("edits", created_at=START + dt.timedelta(hours=9), seconds=3600.0 * 10)
    append_rows(store, "edits", [long])
    found = used(store, workers=1)
    assert found is not None
    assert found.since == START - dt.timedelta(hours=1)


def test_before_the_first_row_nobody_is_busy(tmp_path: Path) -> None:
    assert used(LocalStore(tmp_path)) is None
