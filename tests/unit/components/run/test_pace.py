"""Speed and cost of a run's steps, from rows with known times."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from components.run.pace import PAUSE, Pace, run_pace
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
