"""How tunings are dealt to shards, and what the tables say became of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.config import RunConfig, parse
from components.errors import TransientError
from components.steps.ledger import Ledger
from components.steps.preparation import PrepareItem
from components.steps.shards import _MAX_LOSSES, Loss, _Losses, _shards, _tasks
from components.steps.step import Outcome, StepContext
from components.storage.local import LocalStore
from components.storage.tables import Row, append_rows, read_table
from tests.unit.components.storage.test_tables import make_row


def stage(kind: str, key: str, name: str = "", work_key: str = "") -> Row:
    return {"kind": kind, "key": key, "name": name, "before": None, "work_key": work_key or key}


def tune_item(number: int, **changes: Any) -> PrepareItem:
    fields: dict[str, Any] = {
        "item_key": f"k{number}",
        "video_id": f"v{number}",
        "video_row": {},
        "variant": "tune_a_video",
        "source_prompt": "a fish",
        "seed_key": f"k{number}",
        "wanted": [
            stage("adapter", f"k{number}"),
            stage("latents", f"k{number}", "ddim", f"i{number}"),
        ],
        "made": [],
        "long": True,
        "attempt": 1,
    }
    return PrepareItem(**(fields | changes))


@pytest.mark.parametrize(
    ("videos", "workers", "per_shard", "sizes"),
    [(1, 4, 8, [1]), (5, 2, 8, [3, 2]), (9, 1, 4, [3, 3, 3]), (16, 2, 8, [8, 8])],
)
def test_shards_are_even_and_use_all_workers(
    tmp_path: Path, videos: int, workers: int, per_shard: int, sizes: list[int]
) -> None:
    document = {
        "run": str(tmp_path),
        "manifest": "m",
        "model": {"base": "b"},
        "ray": {"workers": workers, "videos_per_shard": per_shard},
    }
    context = StepContext(config=parse(RunConfig, document, "test"), config_hash="h")
    items = [tune_item(number) for number in range(videos)]
    shards = list(_shards(items, context))
    assert [len(shard) for shard in shards] == sizes
    assert sorted(item.video_id for shard in shards for item in shard) == sorted(
        item.video_id for item in items
    )


def test_the_ledger_tells_each_new_row_once(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    keys = {"video_id": "v0", "adapter_key": "k0"}
    append_rows(store, "latents", [make_row("latents", **keys, inversion="old")])
    items = [tune_item(0), tune_item(1), tune_item(2, attempt=2)]
    ledger = Ledger(store, items)
    assert ledger.poll() == []
    assert ledger.unsettled(items) == items  # another inversion does not count

    append_rows(store, "adapters", [make_row("adapters", **keys, seconds=5.0)])
    append_rows(store, "latents", [make_row("latents", **keys, inversion="ddim", seconds=2.0)])
    failure = {"step": "tune", "video_id": "v1", "item_key": "k1", "attempt": 1}
    append_rows(store, "failures", [make_row("failures", **failure, message="no")])
    earlier = failure | {"video_id": "v2", "item_key": "k2"}
    append_rows(store, "failures", [make_row("failures", **earlier)])
    first, *failed = ledger.poll()
    assert (first.video_id, first.seconds, first.error) == ("v0", 7.0, None)
    assert [outcome.video_id for outcome in failed] == ["v1"]  # v2's was that of an earlier try
    assert failed[0].error is not None
    assert failed[0].error.endswith(": no")
    assert ledger.poll() == []
    assert ledger.unsettled(items) == items[2:]


def test_an_adapter_that_a_dead_worker_committed_is_not_tuned_again(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    row = make_row("adapters", video_id="v0", adapter_key="k0")
    append_rows(store, "adapters", [row])
    ledger = Ledger(store)
    ledger.poll()
    resumed = ledger.with_made(tune_item(0))
    (made,) = resumed.made
    assert (made["kind"], made["uri"], made["sha256"]) == ("adapter", row["uri"], row["sha256"])
    assert [one["kind"] for one in resumed.wanted] == ["latents"]
    assert ledger.with_made(tune_item(1)) == tune_item(1)
    append_rows(store, "adapters", [row | {"uri": None}])  # withdrawn: its object is gone
    ledger.poll()
    assert ledger.with_made(tune_item(0)) == tune_item(0)


@pytest.fixture
def losses(tmp_path: Path) -> _Losses:
    document = {"run": str(tmp_path), "manifest": "m", "model": {"base": "b"}}
    document |= {"ray": {"max_restarts": 2}}
    return _Losses(StepContext(config=parse(RunConfig, document, "test"), config_hash="h"))


DEATH = Loss("a worker died", of_worker=True)
NODE_DEATH = Loss("its node died", of_worker=False)


def test_the_video_that_a_worker_dies_of_is_blamed_and_no_other(
    tmp_path: Path, losses: _Losses
) -> None:
    # Two deaths at each of three videos: no one video is too much for its workers.
    assert [losses.count(tune_item(number // 2), DEATH) for number in range(6)] == [0] * 6
    assert read_table(LocalStore(tmp_path), "failures") == []
    assert losses.count(tune_item(1), DEATH) == 1
    (failure,) = read_table(LocalStore(tmp_path), "failures")
    assert (failure["video_id"], failure["retryable"]) == ("v1", True)
    for words in ("died 3 times", "a worker died", "gradient_checkpointing"):
        assert words in failure["message"]


def test_a_video_is_blamed_only_when_its_worker_was_at_no_other(
    tmp_path: Path, losses: _Losses
) -> None:
    # Rows of quick videos wait together: the first without a row may be done.
    assert [losses.count(tune_item(0), DEATH, alone=False) for _ in range(4)] == [0] * 4
    assert losses.count(tune_item(0), NODE_DEATH) == 0
    assert losses.count(tune_item(0), DEATH) == 1
    (failure,) = read_table(LocalStore(tmp_path), "failures")
    assert "died 5 times" in failure["message"]


def test_a_worker_gets_one_video_and_more_while_they_are_quick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 0.0
    monkeypatch.setattr("components.steps.shards.time.monotonic", lambda: clock)
    document = {"run": str(tmp_path), "manifest": "m", "model": {"base": "b"}}
    document |= {"ray": {"items_per_task": 4}}
    context = StepContext(config=parse(RunConfig, document, "test"), config_hash="h")
    items = [tune_item(number) for number in range(16)]
    sizes: list[int] = []
    done: list[PrepareItem] = []
    for task in _tasks(items, context):
        sizes.append(len(task))
        done += task
        clock += 6 if sizes == [1, 2, 4, 4] else 1
    assert done == items
    assert sizes == [1, 2, 4, 4, 1, 2, 2]


def test_a_lost_node_is_no_videos_fault_and_endless_losses_end(
    tmp_path: Path, losses: _Losses
) -> None:
    for _ in range(_MAX_LOSSES):
        assert losses.count(tune_item(0), NODE_DEATH) == 0
    losses.end_with([])
    with pytest.raises(TransientError, match=r"lost one after the other .* its node died"):
        losses.count(tune_item(0), NODE_DEATH)
    losses.end_with([Outcome("v0", None, 1.0)])
    assert losses.count(tune_item(0), NODE_DEATH) == 0
    assert read_table(LocalStore(tmp_path), "failures") == []
