"""Compaction: whatever happens, and wherever it is cut off, a table reads the same."""

from __future__ import annotations

import datetime as dt
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from components.storage import compact
from components.storage.compact import GRACE, compact_table
from components.storage.local import LocalStore
from components.storage.parts import encode_part, part_digest, read_part
from components.storage.schemas import CONTENT, SCHEMAS
from components.storage.store import ObjectInfo
from components.storage.tables import append_rows, list_parts, read_table
from tests.unit.components.storage.test_tables import make_row

AT_ONCE = dt.timedelta(0)


class KilledError(Exception):
    """What kill -9 looks like from within."""


class MortalStore(LocalStore):
    """A store whose process dies before the n-th write or removal."""

    def __init__(self, root: Path, life: int) -> None:
        super().__init__(root)
        self._life = life

    def _age(self) -> None:
        if not self._life:
            raise KilledError
        self._life -= 1

    @override
    def write_bytes(self, path: str, data: bytes) -> None:
        self._age()
        super().write_bytes(path, data)

    @override
    def delete(self, path: str) -> None:
        self._age()
        super().delete(path)


class LateStore(LocalStore):
    """A store that answers the first listing with an older one."""

    def __init__(self, root: Path, earlier: list[ObjectInfo], times: int = 1) -> None:
        super().__init__(root)
        self._earlier = earlier
        self._times = times

    @override
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        if not self._times:
            yield from super().list(prefix)
            return
        self._times -= 1
        yield from self._earlier


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "run")


def commit(store: LocalStore, table: str, time: int, *rows: dict[str, Any]) -> str:
    """Append rows as a worker does whose clock shows this time."""
    path = append_rows(store, table, list(rows))
    moved = re.sub(r"part-\d{20}", f"part-{time:020d}", path)
    data = store.read_bytes(path)
    store.delete(path)
    store.write_bytes(moved, data)
    return moved


def failures(*numbers: int) -> list[dict[str, Any]]:
    return [make_row("failures", attempt=number) for number in numbers]


def append_all(store: LocalStore, *numbers: int) -> None:
    for number in numbers:
        append_rows(store, "failures", failures(number))


STEPS = st.lists(
    st.one_of(
        # rows of these keys, by a clock that may be late
        st.tuples(
            st.just("append"),
            st.sampled_from(["captions", "failures", "edits"]),
            st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=3),
            st.integers(0, 30),
        ),
        # a compaction that is killed after some of its writes and removals, or none
        st.tuples(
            st.just("compact"), st.none() | st.integers(0, 5), st.booleans(), st.integers(2, 4)
        ),
    ),
    max_size=14,
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, limit=st.sampled_from([1, 40_000, 80_000, 1 << 25]))
def test_any_interleaving_reads_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    steps: list[Any],
    limit: int,
) -> None:
    monkeypatch.setattr(compact, "LARGE_PART", limit)
    root = tmp_path_factory.mktemp("run")
    plain, store = LocalStore(root / "plain"), LocalStore(root / "compacted")
    for number, (kind, *step) in enumerate(steps):
        if kind == "append":
            table, keys, time = step
            rows = [_keyed_row(table, number, *key) for key in keys]
            path = commit(plain, table, time, *rows)
            store.write_bytes(path, plain.read_bytes(path))
        else:
            life, at_once, at_least = step
            for table in ("captions", "failures", "edits"):
                mortal = MortalStore(root / "compacted", -1 if life is None else life)
                try:
                    grace = AT_ONCE if at_once else GRACE
                    compact_table(mortal, table, at_least=at_least, grace=grace)
                except KilledError:
                    assert life is not None
        for table in ("captions", "failures", "edits"):
            assert read_table(store, table) == read_table(plain, table)


def _keyed_row(table: str, number: int, key: str, withdrawn: bool) -> dict[str, Any]:  # noqa: FBT001
    row = (
        make_row(table, video_id=key, seconds=float(number))
        if table != "failures"
        else make_row(table, video_id=key, attempt=number)
    )
    if table == "edits":
        row |= {"edit_id": key}
    return row | ({CONTENT[table]: None} if withdrawn and table in CONTENT else {})


def test_replaced_parts_stay_for_a_reader_that_listed_them(store: LocalStore) -> None:
    append_all(store, 1, 2, 3)
    earlier = list(store.list("tables/failures"))
    compact_table(store, "failures")
    compact_table(store, "failures")
    late = LateStore(Path(store.root), earlier)
    assert read_table(late, "failures") == failures(1, 2, 3)
    assert late._times == 0


def test_a_reader_whose_parts_are_gone_lists_again(store: LocalStore) -> None:
    append_all(store, 1, 2, 3)
    earlier = list(store.list("tables/failures"))
    append_all(store, 4)
    for _ in range(2):
        compact_table(store, "failures", grace=AT_ONCE)
    store.write_bytes(earlier[1].path, _bytes_of(store, 2))  # one of them is still there
    assert read_table(LateStore(Path(store.root), earlier), "failures") == failures(1, 2, 3, 4)


def _bytes_of(store: LocalStore, number: int) -> bytes:
    elsewhere = LocalStore(Path(store.root) / "elsewhere")
    return elsewhere.read_bytes(append_rows(elsewhere, "failures", failures(number)))


def test_a_compaction_whose_parts_are_gone_goes_on(store: LocalStore) -> None:
    append_all(store, 1, 2)
    compact_table(store, "failures")
    append_all(store, 3, 4)
    earlier = list(store.list("tables/failures"))
    for _ in range(2):
        compact_table(store, "failures", grace=AT_ONCE)
    append_all(store, 5)
    for names in (earlier, [info for info in earlier if "/part-" in info.path]):
        late = LateStore(Path(store.root), names, times=2)
        assert compact_table(late, "failures", grace=AT_ONCE).written == 0
    assert read_table(store, "failures") == failures(1, 2, 3, 4, 5)


def merge(store: LocalStore, *chosen: int, written: int = 1) -> str:
    """Write a part with some of the commits, as a compaction of another time or release might."""
    names = [name for name, _ in list_parts(store, "failures") if name.startswith("part-")]
    parts = [read_part(store, "failures", f"tables/failures/{names[n]}").rows for n in chosen]
    metadata = SCHEMAS["failures"].metadata | {b"written": str(written).encode()}
    rows = pa.concat_tables(parts).replace_schema_metadata(metadata)
    data = encode_part(rows, tuple((names[number], 1) for number in chosen))
    path = f"tables/failures/merged-{part_digest(data)}.parquet"
    store.write_bytes(path, data)
    return path


def test_parts_of_two_compactions_at_once_count_once(store: LocalStore) -> None:
    append_all(store, 0, 1, 2)
    merge(store, 0, 1)
    merge(store, 1, 2)
    merge(store, 1, 2, written=2)  # the same commits in other bytes
    assert len(list_parts(store, "failures")) == 6
    assert read_table(store, "failures") == failures(0, 1, 2)
    # All but the two that overlap are replaced: no two parts replace each other.
    assert compact_table(store, "failures", at_least=3, grace=AT_ONCE).removed == 4
    assert read_table(store, "failures") == failures(0, 1, 2)
    compact_table(store, "failures", grace=AT_ONCE)
    compact_table(store, "failures", grace=AT_ONCE)
    assert len(list_parts(store, "failures")) == 1
    assert read_table(store, "failures") == failures(0, 1, 2)


def test_a_part_stays_while_one_of_its_commits_is_nowhere_else(store: LocalStore) -> None:
    append_all(store, *range(16))
    held = {merge(store, number, 12) for number in range(12)} | {merge(store, 12, 13, 14)}
    assert compact_table(store, "failures", at_least=len(held) + 2, grace=AT_ONCE).removed == 15
    assert {path for _, path in list_parts(store, "failures")} > held
    assert read_table(store, "failures") == failures(*range(16))


def test_nothing_is_lost_or_doubled_while_threads_append(store: LocalStore) -> None:
    stop = threading.Event()
    errors: list[BaseException] = []

    def keep_compacting() -> None:
        try:
            while not stop.is_set():
                compact_table(store, "failures", grace=AT_ONCE)
        except BaseException as error:  # noqa: BLE001 - shown below
            errors.append(error)

    writers = [
        threading.Thread(target=append_all, args=(store, *range(first, first + 40)))
        for first in (0, 100, 200)
    ]
    compactors = [threading.Thread(target=keep_compacting) for _ in range(2)]
    for thread in (*writers, *compactors):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in compactors:
        thread.join()
    assert errors == []
    compact_table(store, "failures", grace=AT_ONCE)
    compact_table(store, "failures", grace=AT_ONCE)
    assert len(list_parts(store, "failures")) == 1
    found = [row["attempt"] for row in read_table(store, "failures")]
    assert sorted(found) == [first + number for first in (0, 100, 200) for number in range(40)]


def test_a_reader_beside_a_compacting_writer_never_misses_a_row(store: LocalStore) -> None:
    stop = threading.Event()
    reads: list[list[int]] = []

    def keep_reading() -> None:
        while not stop.is_set():
            reads.append([row["attempt"] for row in read_table(store, "failures")])

    reader = threading.Thread(target=keep_reading)
    reader.start()
    removed = 0
    for number in range(48):
        append_all(store, number)
        if number % 4 == 3:
            removed += compact_table(store, "failures").removed
            _wait_for(reads, len(reads) + 2, reader)
            # As an hour later: no listing is left that began before.
            for path in Path(store.root).rglob("merged-*"):
                os.utime(path, (0, 0))
    _wait_for(reads, len(reads) + 2, reader)
    stop.set()
    reader.join()
    assert removed > 40
    assert [found for found in reads if found != list(range(len(found)))] == []
    assert [len(found) for found in reads] == sorted(len(found) for found in reads)
    assert len(reads[-1]) == 48


def _wait_for(reads: list[list[int]], count: int, reader: threading.Thread) -> None:
    while len(reads) < count:
        assert reader.is_alive()
        time.sleep(0.001)
