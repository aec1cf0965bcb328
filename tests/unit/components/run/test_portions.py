"""A run is looked at some videos at a time, and nothing is lost or seen twice."""

from __future__ import annotations

import functools
import random
from pathlib import Path

import pytest

from components.manifest.edits import VideoEntry
from components.manifest.load import Manifest
from components.run.portions import Dealt, divided
from components.steps.ingest import IngestItem
from components.steps.packed import Packed
from components.storage.local import LocalStore
from components.storage.schemas import SCHEMAS
from components.storage.tables import append_rows, read_arrow, read_table, to_rows
from tests.unit.components.storage.test_tables import make_row


@pytest.mark.parametrize("table", list(SCHEMAS))
def test_each_portion_has_its_videos_rows_in_order_of_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    monkeypatch.setattr("components.run.portions.PORTION", 3)
    names = [f"v{number}" for number in range(8)]
    manifest = Manifest(name="m", videos=tuple(VideoEntry(video_id=n, uri="/v") for n in names))
    store, chance = LocalStore(tmp_path), random.Random(1)
    for commit in range(6):
        asked = chance.sample([*names, "of another manifest"], 5)
        rows = [make_row(table, video_id=name) for name in asked]
        ids = [name for name in SCHEMAS[table].names if name in ("edit_id", "item_key")]
        for row in rows:
            row.update(dict.fromkeys(ids, f"{row['video_id']}/{commit % 2}"))
        append_rows(store, table, rows)
    every = read_table(store, table, with_part=True)
    parts = divided(manifest)
    dealt = Dealt(functools.partial(read_arrow, store), parts)
    assert [len(part.videos) for part in parts] == [3, 3, 2]
    for number, part in enumerate(parts):
        mine = {entry.video_id for entry in part.videos}
        found = to_rows(dealt.table(number, table, with_part=True))
        assert found == [row for row in every if row["video_id"] in mine]
    assert sum(len(dealt.table(number, table)) for number in range(3)) < len(every)


def test_a_small_manifest_is_not_divided() -> None:
    manifest = Manifest(name="m", videos=(VideoEntry(video_id="v", uri="/v"),))
    assert divided(manifest) == [manifest]


@pytest.mark.parametrize("count", [0, 1, 500, 1203])
def test_packed_items_are_the_items(count: int) -> None:
    items = [
        IngestItem(
            item_key=f"k{number}",
            video_id=f"v{number}",
            uri=f"/\U0001f600 \udc80 {number}",
            source_version="1",
            video={"num_frames": number, "fps": 0.1},
            attempt=1,
        )
        for number in range(count)
    ]
    packed = Packed(iter(items))
    assert len(packed) == count
    for _ in range(2):
        assert list(packed) == items
    windows = list(packed.windows(400))
    assert [item for window in windows for item in window] == items
    assert {len(window) for window in windows[:-1]} <= {400}
