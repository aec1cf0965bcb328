"""Batches of rows: when they are committed, and what one wrong row costs the others."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from typing_extensions import override

from components.errors import TransientError
from components.storage.local import LocalStore
from components.storage.tables import read_table
from components.storage.writer import RowWriter
from tests.unit.components.storage.test_tables import make_row


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def add(writer: RowWriter, *numbers: int) -> None:
    for number in numbers:
        writer.add("failures", make_row("failures", attempt=number))
        writer.flush_due()


def attempts(store: LocalStore) -> list[int]:
    return [row["attempt"] for row in read_table(store, "failures")]


def test_rows_wait_for_enough_of_them(store: LocalStore) -> None:
    writer = RowWriter(store, max_rows=3, max_seconds=1000)
    add(writer, 1, 2)
    assert attempts(store) == []
    add(writer, 3)
    assert attempts(store) == [1, 2, 3]
    add(writer, 4)
    writer.flush()
    writer.flush()
    assert attempts(store) == [1, 2, 3, 4]
    assert len(list(store.list("tables/failures"))) == 2


def test_slow_work_is_committed_at_once(store: LocalStore) -> None:
    writer = RowWriter(store, max_rows=1000, max_seconds=0.05)
    for number in (1, 2, 3):
        time.sleep(0.06)
        add(writer, number)
        assert attempts(store) == list(range(1, number + 1))


def test_time_between_tasks_is_no_work(store: LocalStore) -> None:
    writer = RowWriter(store, max_rows=1000, max_seconds=0.2)
    time.sleep(0.25)
    with writer.work():
        add(writer, 1)
        assert attempts(store) == []
    assert attempts(store) == [1]


def test_all_tables_are_committed_in_the_order_of_the_steps(store: LocalStore) -> None:
    writer = RowWriter(store)
    for table in ("failures", "latents", "adapters"):
        writer.add(table, make_row(table))
    writer.flush()
    times = {
        table: next(iter(store.list(f"tables/{table}"))).path.split("-")[1]
        for table in ("adapters", "latents", "failures")
    }
    assert sorted(times, key=times.__getitem__) == ["adapters", "latents", "failures"]


def test_one_wrong_row_costs_no_other(store: LocalStore) -> None:
    writer = RowWriter(store)
    for attempt in (1, "two", 3):
        writer.add("failures", make_row("failures", attempt=attempt))
    with pytest.raises(ValueError, match="attempt"):
        writer.flush()
    assert attempts(store) == [1, 3]


def test_a_defect_does_not_take_what_was_done_with_it(store: LocalStore) -> None:
    writer = RowWriter(store)
    with pytest.raises(ZeroDivisionError):
        _work(writer)
    assert attempts(store) == [1]


def _work(writer: RowWriter) -> None:
    with writer.work():
        add(writer, 1)
        add(writer, 1 // 0)


class DeafStore(LocalStore):
    """A store that does not answer for a number of writes."""

    def __init__(self, root: Path, silent: int) -> None:
        super().__init__(root)
        self._silent = silent

    @override
    def write_bytes(self, path: str, data: bytes) -> None:
        if self._silent:
            self._silent -= 1
            raise TransientError("no answer")
        super().write_bytes(path, data)


def test_rows_wait_while_the_store_does_not_answer(tmp_path: Path) -> None:
    store = DeafStore(tmp_path, 2)
    writer = RowWriter(store, max_rows=1)
    told = []
    for number in (1, 2, 3):
        writer.add("failures", make_row("failures", attempt=number))
        told.append(writer.flush_due())
    assert told == [False, False, True]
    assert attempts(store) == [1, 2, 3]
    silent = RowWriter(DeafStore(tmp_path, 1))
    silent.add("failures", make_row("failures", attempt=4))
    with pytest.raises(TransientError, match="no answer"):
        silent.flush()
    silent.flush()
    assert attempts(store) == [1, 2, 3, 4]
