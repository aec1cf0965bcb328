"""What a worker that dies at any moment leaves, and what the one in its place does."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from components.config import RunConfig
from components.errors import ItemError
from components.steps.settled import Settled
from components.steps.spread import deal
from components.steps.step import ItemWorker, Outcome, StepContext
from components.storage.local import LocalStore
from components.storage.tables import append_rows, read_commits
from components.storage.writer import RowWriter
from tav_model.config import ModelConfig
from tests.unit.components.storage.test_compact import KilledError, MortalStore
from tests.unit.components.storage.test_tables import make_row


@dataclass(frozen=True, kw_only=True)
class Number:
    item_key: str
    video_id: str
    attempt: int = 1


class Worker(ItemWorker):
    """Writes an object and a row for each number; those that end in 3 fail."""

    step = "caption"
    table = "captions"
    identity = MappingProxyType({"video_id": "video_id"})

    def __init__(self, context: StepContext, life: int = -1, max_rows: int = 500) -> None:
        super().__init__(context)
        self._store = MortalStore(Path(context.config.run), life)
        self._writer = RowWriter(self._store, max_rows=max_rows, max_seconds=1000)
        self.computed: list[str] = []

    @override
    def _outcomes(self, items: Sequence[Number]) -> Iterator[Outcome]:
        for item in items:
            yield self._attempt(item, lambda item=item: self._work(item))  # type: ignore[misc]

    def _work(self, item: Number) -> None:
        self.computed.append(item.video_id)
        if item.video_id.endswith("3"):
            raise ItemError(f"{item.video_id} ends in 3: use another")
        self._store.write_bytes(f"objects/{item.video_id}", b"object")
        self._writer.add("captions", make_row("captions", video_id=item.video_id))


def numbers(count: int) -> list[Number]:
    return [Number(item_key=f"k{number}", video_id=f"v{number}") for number in range(count)]


@pytest.fixture
def context(tmp_path: Path) -> StepContext:
    config = RunConfig(run=str(tmp_path / "run"), manifest="unused", model=ModelConfig(base="-"))
    return StepContext(config=config, config_hash="c0ffee")


def committed(store: LocalStore, table: str) -> list[str]:
    """Of all rows that were ever committed, not the last of each key alone."""
    return [row["video_id"] for _, rows in read_commits(store, table) for row in rows]


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 24),
    lives=st.lists(st.integers(0, 12), max_size=6),
    max_rows=st.integers(1, 7),
    most=st.integers(1, 24),
)
def test_at_any_crash_point_each_item_is_committed_once(
    tmp_path_factory: pytest.TempPathFactory,
    count: int,
    lives: list[int],
    max_rows: int,
    most: int,
) -> None:
    root = tmp_path_factory.mktemp("run")
    config = RunConfig(run=str(root), manifest="unused", model=ModelConfig(base="-"))
    context = StepContext(config=config, config_hash="c0ffee")
    items = numbers(count)
    began = time.time_ns()
    computed: list[str] = []
    deaths = 0
    worker = Worker(context, lives.pop() if lives else -1, max_rows)
    for task in deal([[item] for item in items], 1, most):
        while True:
            try:
                worker(task)
                break
            except KilledError:  # as Ray does: a new actor gets the same task
                deaths += 1
                computed += worker.computed
                worker = Worker(context, lives.pop() if lives else -1, max_rows)
                worker.skip_committed(began)
    computed += worker.computed
    store = LocalStore(root)
    every = [item.video_id for item in items]
    failed = [name for name in every if name.endswith("3")]
    assert sorted(committed(store, "failures")) == sorted(failed)
    assert sorted(committed(store, "captions")) == sorted(set(every) - set(failed))
    # What waited, and the item at work.
    assert len(computed) - len(every) <= deaths * (max_rows + 1)


def test_outcomes_are_told_when_their_rows_are_committed(context: StepContext) -> None:
    outcomes = Worker(context)(numbers(5))
    assert [(o.video_id, o.error is None) for o in outcomes] == [
        (f"v{number}", number != 3) for number in range(5)
    ]
    assert len(committed(context.store(), "captions")) == 4  # type: ignore[arg-type]
    assert len(list(context.store().list("tables/captions"))) == 1


def test_after_a_death_no_row_waits(context: StepContext) -> None:
    worker = Worker(context, life=4)  # an object and a row of each of two items
    worker.commit_each()
    with pytest.raises(KilledError):
        worker(numbers(3))
    assert committed(LocalStore(context.config.run), "captions") == ["v0", "v1"]


def test_files_of_an_item_are_gone_when_it_is_done(context: StepContext) -> None:
    worker = Worker(context)
    for _ in range(2):
        with worker._scratch() as folder:
            assert list(folder.iterdir()) == []
            (folder / "a").write_bytes(b"a")
            (folder / "frames").mkdir()
            (folder / "frames" / "b").write_bytes(b"b")
    with pytest.raises(FileNotFoundError), worker._scratch() as folder:
        (folder / "a").rename(folder / "b")
    assert list(folder.iterdir()) == []


def test_settled_is_what_has_a_row_of_this_step_and_attempt(context: StepContext) -> None:
    store = context.store()
    identity = {"edit_id": "edit_id", "edit_key": "item_key"}

    @dataclass(frozen=True)
    class Edit:
        item_key: str
        attempt: int = 1
        edit_id: str = "v/e"
        video_id: str = "v"

    def settled(since: int = 0) -> Settled:
        return Settled(store, "sample", "edits", identity, since)

    def commit(**columns: Any) -> None:
        append_rows(store, "edits", [make_row("edits", edit_id="v/e", edit_key="a", **columns)])

    assert Edit("a") not in settled()
    commit()
    assert Edit("a") in settled()
    assert Edit("b") not in settled()
    assert Edit("a") not in settled(time.time_ns())
    commit(video_uri=None)  # withdrawn
    assert Edit("a") not in settled()
    failure = {"step": "sample", "item_key": "a", "edit_id": "v/e", "attempt": 2}
    append_rows(store, "failures", [make_row("failures", **failure)])
    assert Edit("a", attempt=1) not in settled()
    assert Edit("a", attempt=2) in settled()
    assert Edit("a", attempt=2) not in Settled(store, "score", "edits", identity, 0)
