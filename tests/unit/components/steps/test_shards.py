"""How tunings are dealt to shards, and what the tables say became of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.config import RunConfig, parse
from components.steps.shards import _begun_before, _Ledger, _shards
from components.steps.spread import items_to_json
from components.steps.step import StepContext
from components.steps.tune import TuneItem
from components.storage.store import LocalStore
from components.storage.tables import append_rows
from tests.unit.components.storage.test_tables import make_row


def tune_item(number: int, **changes: Any) -> TuneItem:
    fields: dict[str, Any] = {
        "item_key": f"k{number}",
        "video_id": f"v{number}",
        "video_row": {},
        "source_prompt": "a fish",
        "inversion": "ddim",
        "adapter": None,
        "attempt": 1,
    }
    return TuneItem(**(fields | changes))


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
    ledger = _Ledger(store)
    ledger.forget()
    items = [tune_item(0), tune_item(1), tune_item(2, attempt=2)]
    assert ledger.unsettled(items) == items  # another inversion does not count

    append_rows(store, "adapters", [make_row("adapters", **keys, seconds=5.0)])
    append_rows(store, "latents", [make_row("latents", **keys, inversion="ddim", seconds=2.0)])
    failure = {"step": "tune", "video_id": "v1", "item_key": "k1", "attempt": 1}
    append_rows(store, "failures", [make_row("failures", **failure, message="no")])
    earlier = failure | {"video_id": "v2", "item_key": "k2"}
    append_rows(store, "failures", [make_row("failures", **earlier)])
    first, *failed = ledger.poll()
    assert (first.video_id, first.seconds, first.error) == ("v0", 7.0, None)
    assert [outcome.video_id for outcome in failed] == ["v1", "v2"]
    assert failed[0].error is not None
    assert failed[0].error.endswith(": no")
    assert ledger.poll() == []
    assert ledger.unsettled(items) == items[2:]  # its failure was that of an earlier try


def test_a_shard_that_was_begun_before_is_known(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    shard = items_to_json([tune_item(0), tune_item(1)])
    assert not _begun_before(store, shard)
    assert _begun_before(store, shard)
    assert not _begun_before(store, items_to_json([tune_item(1)]))
    assert not _begun_before(store, items_to_json([tune_item(0, attempt=2), tune_item(1)]))
