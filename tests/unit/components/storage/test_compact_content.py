"""What compaction keeps, what it leaves alone, and who finds it afterwards."""

from __future__ import annotations

import json
import math
import secrets
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from components.cli.main import main
from components.errors import TransientError, UserError
from components.steps.ledger import Ledger
from components.steps.preparation import PrepareItem
from components.storage import compact
from components.storage.compact import MANY_PARTS, compact_grown, compact_table
from components.storage.latents import LatentsReader, latents_columns
from components.storage.local import LocalStore
from components.storage.parts import encode_part, part_digest, read_part
from components.storage.schemas import CONTENT, SCHEMAS
from components.storage.tables import Row, append_rows, list_parts, read_commits, read_table
from tests.unit.components.steps.test_shards import tune_item
from tests.unit.components.storage.test_compact import AT_ONCE, LateStore, append_all, failures
from tests.unit.components.storage.test_tables import make_row


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "run")


def test_parts_become_one_and_every_row_stays(store: LocalStore) -> None:
    append_all(store, *range(5))
    before = read_commits(store, "failures")
    done = compact_table(store, "failures")
    assert (done.merged, done.written, done.removed) == (5, 1, 0)
    (merged,) = [path for name, path in list_parts(store, "failures") if name[0] == "m"]
    part = read_part(store, "failures", merged)
    assert [name for name, _ in part.commits] == [Path(path).name for path, _ in before]
    assert pq.read_schema(f"{store.root}/{merged}").equals(SCHEMAS["failures"], check_metadata=True)
    assert compact_table(store, "failures").merged == 0  # there is nothing to do
    assert compact_table(store, "failures", grace=AT_ONCE).removed == 5
    assert [rows for _, rows in read_commits(store, "failures")] == [rows for _, rows in before]
    assert [path for _, path in list_parts(store, "failures")] == [merged]


@pytest.mark.parametrize("table", list(SCHEMAS))
def test_every_type_and_null_is_kept(store: LocalStore, table: str) -> None:
    rows = [
        make_row(table),
        make_row(table) | {c.name: None for c in SCHEMAS[table] if c.name not in CONTENT.values()},
        make_row(table) | {c.name: math.inf for c in SCHEMAS[table] if c.type == pa.float64()},
    ]
    for row in rows:
        append_rows(store, table, [row])
    append_rows(store, table, [])
    before = [rows for _, rows in read_commits(store, table)]
    assert compact_table(store, table).merged == 4
    assert compact_table(store, table, grace=AT_ONCE).removed == 4
    assert [rows for _, rows in read_commits(store, table)] == before


def test_latents_are_found_wherever_compaction_put_them(store: LocalStore) -> None:
    wanted = {
        name: np.arange(24.0).reshape(1, 2, 3, 4) + number for number, name in enumerate("abc")
    }
    paths = {}
    for name, latents in wanted.items():
        keys = {"video_id": name, "adapter_key": name, "inversion": "i"}
        row = make_row("latents", **keys, **latents_columns(latents))
        append_rows(store, "latents", [row | latents_columns(latents * 0)])
        paths[name] = append_rows(store, "latents", [row])
    for _ in range(2):
        compact_table(store, "latents", grace=AT_ONCE)
    planned = {
        row["adapter_key"]: row["part"] for row in read_table(store, "latents", (), with_part=True)
    }
    for name, latents in wanted.items():
        for part in (paths[name], planned[name]):
            found = LatentsReader(store).read(part, name, name, "i")
            assert found.dtype == np.float16
            assert np.array_equal(found, latents)
    with pytest.raises(TransientError, match="is gone: run again to invert anew"):
        LatentsReader(store).read(paths["a"], "a", "a", "another")
    with pytest.raises(TransientError, match="holds no latents of a another"):
        LatentsReader(store).read(planned["a"], "a", "a", "another")


def test_latents_of_clips_that_share_an_adapter_are_told_apart(store: LocalStore) -> None:
    wanted = {name: np.full((1, 2, 3, 4), number, np.float16) for number, name in enumerate("ab")}
    keys = {"adapter_key": "both", "inversion": "i"}
    rows = [
        make_row("latents", video_id=name, **keys, **latents_columns(one))
        for name, one in wanted.items()
    ]
    part = append_rows(store, "latents", rows)
    for name, one in wanted.items():
        assert np.array_equal(LatentsReader(store).read(part, name, "both", "i"), one)


def test_a_ledger_tells_no_row_twice(store: LocalStore) -> None:
    items = [tune_item(number) for number in range(3)]
    ledger = Ledger(store, items)

    def failure(item: PrepareItem) -> Row:
        names = {"video_id": item.video_id, "item_key": item.item_key}
        return make_row("failures", step="tune", attempt=1, **names)

    for item in items[:2]:
        append_rows(store, "failures", [failure(item)])
    assert [outcome.video_id for outcome in ledger.poll()] == ["v0", "v1"]
    append_rows(store, "failures", [failure(items[2])])
    for _ in range(2):
        compact_table(store, "failures", grace=AT_ONCE)
    assert [outcome.video_id for outcome in ledger.poll()] == ["v2"]
    assert ledger.poll() == []


def test_a_column_of_a_later_release_is_not_lost(store: LocalStore) -> None:
    schema = SCHEMAS["videos"].append(pa.field("later", pa.string()))
    for name in "ab":
        row = make_row("videos", video_id=name) | {"later": name}
        rows = pa.Table.from_pylist([row], schema=schema)
        data = encode_part(rows)
        store.write_bytes(f"tables/videos/part-{ord(name):020d}-{part_digest(data)}.parquet", data)
    assert compact_table(store, "videos").merged == 0
    assert len(list_parts(store, "videos")) == 2


def test_a_column_that_came_later_is_null_as_before(store: LocalStore) -> None:
    names = [name for name in SCHEMAS["videos"].names if name != "fit"]
    for number in (1, 2):
        row = make_row("videos", video_id=str(number))
        rows = pa.Table.from_pylist([row], schema=SCHEMAS["videos"]).select(names)
        data = encode_part(rows)
        store.write_bytes(f"tables/videos/part-{number:020d}-{part_digest(data)}.parquet", data)
    before = read_table(store, "videos")
    assert [row["fit"] for row in before] == [None, None]
    assert compact_table(store, "videos").merged == 2
    compact_table(store, "videos", grace=AT_ONCE)
    assert read_table(store, "videos") == before


def test_a_damaged_part_is_never_merged(store: LocalStore) -> None:
    append_all(store, 1, 2)
    path, other = (path for _, path in list_parts(store, "failures"))
    store.write_bytes(path, store.read_bytes(other))  # a sound file, but not this one
    with pytest.raises(UserError, match=path):
        compact_table(store, "failures")
    assert len(list_parts(store, "failures")) == 2


def test_files_of_other_names_are_left_alone(store: LocalStore) -> None:
    append_all(store, 1, 2)
    path = append_rows(store, "failures", failures(3))
    store.write_bytes("tables/failures/mine.parquet", store.read_bytes(path))
    store.write_bytes("tables/failures/notes.txt", b"")
    before = read_table(store, "failures")
    for _ in range(2):
        compact_table(store, "failures", grace=AT_ONCE)
    assert read_table(store, "failures") == before
    names = [Path(info.path).name for info in store.list("tables/failures")]
    assert names[1:] == ["mine.parquet", "notes.txt"]


def test_large_parts_are_left_as_they_are(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_all(store, *range(6))
    size = next(iter(store.list("tables/failures"))).size
    monkeypatch.setattr(compact, "LARGE_PART", 3 * size)
    assert compact_table(store, "failures").written == 2
    noise = make_row("failures", attempt=6, message=secrets.token_hex(5 * size))
    large = store.stat(append_rows(store, "failures", [noise]))
    assert large is not None
    monkeypatch.setattr(compact, "LARGE_PART", 2 * large.size)
    compact_table(store, "failures")
    compact_table(store, "failures", grace=AT_ONCE)
    assert [path for _, path in list_parts(store, "failures")][1:] == [large.path]
    assert [row["attempt"] for row in read_table(store, "failures")] == list(range(7))


def test_a_run_compacts_only_what_has_grown(store: LocalStore) -> None:
    append_all(store, *range(MANY_PARTS))
    compact_grown(store)
    assert len(list_parts(store, "failures")) == MANY_PARTS
    append_all(store, MANY_PARTS)
    compact_grown(store)
    assert len(list_parts(store, "failures")) == MANY_PARTS + 2
    # Those that are replaced do not count as many.
    append_all(store, *range(5))
    compact_grown(store)
    assert len(list_parts(store, "failures")) == MANY_PARTS + 7


def test_a_run_compacts_what_its_step_wrote(tmp_path: Path, tiny_models: Path) -> None:
    store = LocalStore(tmp_path / "run")
    append_all(store, *range(MANY_PARTS))
    manifest = "videos: [{id: gone, uri: gone.mp4, prompt: a fish}]"
    (tmp_path / "m.yaml").write_text(manifest, encoding="utf-8")
    (tmp_path / "run.yaml").write_text(
        f"run: {tmp_path}/run\nmanifest: {tmp_path}/m.yaml\nmodel: {{base: {tiny_models}/base}}\n"
        f"score: {{model: {tiny_models}/clip}}\nmax_failed_fraction: 1.0\n",
        encoding="utf-8",
    )
    result = CliRunner().invoke(main, ["run", "--config", str(tmp_path / "run.yaml"), "--json"])
    assert result.exit_code == 0, result.output  # the video is missing: Ray is not needed
    assert len(list_parts(store, "failures")) == MANY_PARTS + 2
    assert len(read_table(store, "failures")) == MANY_PARTS + 1


def test_the_command_says_what_it_did(store: LocalStore) -> None:
    root = store.root
    refused = CliRunner().invoke(main, ["compact", root])
    assert refused.exit_code == 1
    assert "run.json" in refused.output
    store.write_bytes("run.json", b"{}")
    append_all(store, 1, 2, 3)
    result = CliRunner().invoke(main, ["compact", root, "--json"])
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["failures"] == {"merged": 3, "written": 1, "removed": 0}
    assert document["videos"] == {"merged": 0, "written": 0, "removed": 0}
    result = CliRunner().invoke(main, ["compact", root])
    assert "failures  0 part(s) merged into 0, 0 replaced earlier removed" in result.output


def test_a_listing_that_never_comes_true_is_an_error(store: LocalStore) -> None:
    append_all(store, 1)
    earlier = list(store.list("tables/failures"))
    store.delete(earlier[0].path)
    with pytest.raises(TransientError, match="is listed, but cannot be found"):
        read_table(LateStore(Path(store.root), earlier, times=1000), "failures")
