"""What `tav gc` finds, what it removes, and above all what it does not."""

from __future__ import annotations

import datetime as dt
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from components.cli import main
from components.compact import compact_table
from components.errors import UserError
from components.garbage import Findings, remove, survey, withdraw
from components.keys import content_key
from components.shards import _Ledger
from components.status import run_status
from components.store import LocalStore
from components.tables import append_rows, read_table
from tests.finished_run import write_run
from tests.unit.components.test_plan import SHA256, Run
from tests.unit.components.test_tables import make_row

HOUR = dt.timedelta(hours=1)
NOW = dt.timedelta(0)
KEY = "0123456789abcdef" * 2


def tree(root: Path) -> dict[str, tuple[bytes, int]]:
    """Every file with its content and time of change."""
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in root.rglob("*")
        if path.is_file()
    }


def set_age(root: Path, hours: float, pattern: str = "*") -> None:
    then = time.time() - hours * 3600
    for path in root.rglob(pattern):
        if path.is_file():
            os.utime(path, (then, then))


def place(root: Path, path: str, hours: float = 2) -> Path:
    """Write a file by another way than the store, as someone else would."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(path.encode())
    then = time.time() - hours * 3600
    os.utime(target, (then, then))
    return target


def paths(found: Findings) -> list[str]:
    return [orphan.found.path for orphan in found.orphans]


class WholeRun(Run):
    """A run of one video with one edit whose objects are there, as the steps write them."""

    def ingest(self) -> None:
        key = content_key(sha256=SHA256, video=self.config.video)
        self.clip = self._object(f"media/sources/v-{key[:12]}.mp4")
        row = {"video_key": key, "uri": "/v.mp4", "sha256": SHA256, "source_version": "1"}
        self.commit("videos", **row, clip_uri=self.clip)

    def tune(self) -> None:
        key = self.state.adapter_keys["v"]
        self.adapter = self._object(f"adapters/{key}.safetensors")
        self.commit("adapters", adapter_key=key, uri=self.adapter)
        self.commit("latents", adapter_key=key, inversion=self.state.inversion)

    def sample(self) -> None:
        key = self.state.planned_edits["v/e"].edit_key
        self.edit = self._object(f"media/edits/v/{key}.mp4")
        self.frames = f"media/edits/v/{key}-frames"
        for number in range(3):
            self._object(f"{self.frames}/{number}.png")
        columns = {"video_uri": self.edit, "frames_uri": self.frames, "num_frames": 3}
        self.commit("edits", edit_id="v/e", edit_key=key, **columns)

    def score(self) -> None:
        edit_key = self.state.planned_edits["v/e"].edit_key
        for protocol in self.config.score.protocols:
            key = self.state.score_key(edit_key, protocol)
            columns = {"edit_id": "v/e", "edit_key": edit_key, "protocol": protocol}
            self.commit("scores", **columns, score_key=key)

    def _object(self, path: str) -> str:
        self.store.write_bytes(path, path.encode())
        return path

    @property
    def left(self) -> list[int]:
        return [step.left for step in run_status(self.state).steps.values()]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def a_run(root: Path) -> WholeRun:
    run = WholeRun(root)
    run.ingest()
    run.caption()
    run.tune()
    run.sample()
    run.score()
    run.store.write_bytes("run.json", b"{}")
    set_age(root, 2)
    return run


def test_a_finished_run_has_nothing_to_collect(a_run: WholeRun) -> None:
    assert survey(a_run.store, older_than=NOW) == Findings([], [], [], 0)
    assert a_run.left == [0, 0, 0, 0, 0]


def test_real_clips_that_rows_name_are_kept_wherever_they_lie(root: Path) -> None:
    store = LocalStore(root)
    write_run(store)
    store.write_bytes("a.safetensors", b"x")  # the adapter of all its videos
    assert survey(store, older_than=NOW) == Findings([], [], [], 0)
    for row in read_table(store, "edits")[1:]:
        store.delete(row["video_uri"])
    found = survey(store, older_than=NOW)
    assert {one.table for one in found.dangling} == {"edits"}
    assert len(found.dangling) == 5


ORPHANS = [
    f"adapters/{KEY}.safetensors",
    f"media/sources/v-{KEY[:12]}.mp4",
    f"media/edits/v/{KEY}.mp4",
    f"media/edits/another/{KEY}-frames/0001.png",
    "media/edits/v/.tmp-0a1b2c",
    "tables/edits/.tmp-0a1b2c",
]


@pytest.mark.parametrize("path", ORPHANS)
def test_what_a_crash_left_is_found_and_removed(a_run: WholeRun, root: Path, path: str) -> None:
    before = tree(root)
    orphan = place(root, path)
    found = survey(a_run.store)
    assert paths(found) == [path]
    assert found.nbytes == len(path)
    assert remove(a_run.store, found.orphans) == found.orphans
    assert not orphan.exists()
    assert tree(root) == before
    assert survey(a_run.store) == Findings([], [], [], 0)


@pytest.mark.parametrize("path", ORPHANS)
def test_what_is_young_may_still_get_its_row(a_run: WholeRun, root: Path, path: str) -> None:
    place(root, path, hours=0.9)
    assert survey(a_run.store) == Findings([], [], [], young=1)
    assert paths(survey(a_run.store, older_than=HOUR / 2)) == [path]


UNKNOWN = [
    "notes.txt",
    "adapters/mine.safetensors",
    f"adapters/{KEY}.safetensors.bak",
    f"adapters/old/{KEY}.safetensors",
    f"media/{KEY}.mp4",
    f"media/edits/{KEY}.mp4",
    f"media/edits/ä/{KEY}.mp4",
    f"media/edits/.hidden/{KEY}.mp4",
    "media/edits/.hidden/.tmp-0a1b2c",
    f"media/edits/v/{KEY}-frames/a/1.png",
    f"checkpoints/{KEY}.pt",
    "tables/edits/notes.txt",
    "tables/others/part-1.parquet",
    "backup/adapters/0.safetensors",
]
KEPT = [
    "report/index.html",
    f"report/media/{KEY}{KEY}.mp4",
    "report/.tmp-0a1b2c",
    ".tmp-0a1b2c",
    "logs/ä.log",
    "ray-train/a/b",
    f"checkpoints/{KEY}.safetensors",
]


@pytest.mark.parametrize("path", [*UNKNOWN, *KEPT])
def test_other_files_are_never_removed(a_run: WholeRun, root: Path, path: str) -> None:
    place(root, path, hours=1000)
    found = survey(a_run.store, older_than=NOW)
    assert found == Findings([], [], [path] if path in UNKNOWN else [], 0)


def test_a_checkpoint_goes_when_its_tuning_is_finished(a_run: WholeRun, root: Path) -> None:
    checkpoint = f"checkpoints/{a_run.state.adapter_keys['v']}.safetensors"
    place(root, checkpoint)
    assert paths(survey(a_run.store)) == [checkpoint]
    half = WholeRun(root.with_name("half"))
    half.ingest()
    half.caption()
    place(root.with_name("half"), checkpoint)
    columns = {"adapter_key": half.state.adapter_keys["v"], "uri": half._object("adapters/x")}
    half.commit("adapters", **columns)
    assert paths(survey(half.store, older_than=NOW)) == []  # its inversion is still to come


def test_replaced_parts_go_by_the_age_of_the_part_that_replaces_them(
    a_run: WholeRun, root: Path
) -> None:
    for number in range(3):
        append_rows(a_run.store, "failures", [make_row("failures", attempt=number)])
    set_age(root, 5)
    before = read_table(a_run.store, "failures")
    compact_table(a_run.store, "failures")
    assert survey(a_run.store) == Findings([], [], [], young=3)
    set_age(root, 2, "merged-*")
    found = survey(a_run.store)
    assert [path.split("-")[0] for path in paths(found)] == ["tables/failures/part"] * 3
    remove(a_run.store, found.orphans)
    assert len(list(a_run.store.list("tables/failures"))) == 1
    assert read_table(a_run.store, "failures") == before
    assert survey(a_run.store, older_than=NOW) == Findings([], [], [], 0)


def test_an_object_that_was_written_again_is_kept(a_run: WholeRun, root: Path) -> None:
    path = f"adapters/{KEY}.safetensors"
    place(root, path)
    found = survey(a_run.store)
    a_run.store.write_bytes(path, path.encode())
    assert remove(a_run.store, found.orphans) == []
    assert (root / path).exists()


class BusyStore(LocalStore):
    """A store in which a worker commits just after the objects were listed."""

    def __init__(self, root: Path, work: Callable[[], None]) -> None:
        super().__init__(root)
        self._work = work

    @override
    def list(self, prefix: str = "") -> Any:
        found = list(super().list(prefix))
        if not prefix:
            self._work()
        return iter(found)


def test_rows_that_are_committed_meanwhile_count(a_run: WholeRun, root: Path) -> None:
    old = f"adapters/{KEY}.safetensors"
    place(root, old)

    def work() -> None:
        a_run.commit("adapters", adapter_key="k", uri=old)
        edit, frame = (a_run._object(f"media/edits/v/k{end}") for end in (".mp4", "-frames/1.png"))
        named = {"video_uri": edit, "frames_uri": frame.rpartition("/")[0], "num_frames": 1}
        a_run.commit("edits", edit_key="k", **named)
        a_run.commit("videos", video_key="k", clip_uri=a_run._object("media/sources/new.mp4"))

    assert survey(BusyStore(root, work), older_than=NOW) == Findings([], [], [], 0)


def test_a_source_in_the_run_itself_is_named_too(a_run: WholeRun, root: Path) -> None:
    edit = f"media/edits/v/{KEY}.mp4"
    place(root, edit)
    a_run.commit("videos", video_key="k", uri=f"{root}/{edit}", clip_uri=a_run.clip)
    assert survey(a_run.store) == Findings([], [], [], 0)


def test_links_lead_nowhere(a_run: WholeRun, root: Path) -> None:
    outside = place(root.parent, f"elsewhere/{KEY}.mp4")
    place(root.parent, "elsewhere/.tmp-0a1b2c")
    before = tree(root.parent / "elsewhere")
    (root / "media/edits/linked").symlink_to(outside.parent)
    (root / f"adapters/{KEY}.safetensors").symlink_to(outside)
    found = survey(a_run.store, older_than=NOW)
    remove(a_run.store, found.orphans)
    assert tree(root.parent / "elsewhere") == before


def test_a_lost_edit_is_sampled_again(a_run: WholeRun) -> None:
    for lost in (a_run.edit, f"{a_run.frames}/1.png"):
        a_run.store.delete(lost)
        found = survey(a_run.store)
        (one,) = found.dangling
        edit_key = a_run.state.edits["v/e"]["edit_key"]
        assert (one.table, one.key) == ("edits", {"edit_id": "v/e", "edit_key": edit_key})
        assert one.address == (a_run.edit if lost == a_run.edit else a_run.frames)
        assert a_run.plan().sample_items() == []
        withdraw(a_run.store, found.dangling)
        assert survey(a_run.store).dangling == []
        (item,) = a_run.plan().sample_items()
        assert [edit["item_key"] for edit in item.edits] == [edit_key]
        a_run.sample()
        assert a_run.left == [0, 0, 0, 0, 0]  # its score still counts: the edit is the same


def test_a_lost_adapter_is_tuned_and_inverted_again(a_run: WholeRun) -> None:
    a_run.store.delete(a_run.adapter)
    withdraw(a_run.store, survey(a_run.store).dangling)
    for table in ("adapters", "latents"):
        assert read_table(a_run.store, table) == []
    (item,) = a_run.plan().tune_items()
    assert item.adapter is None
    ledger = _Ledger(a_run.store)
    ledger.forget()
    assert ledger.unsettled([item]) == [item]
    a_run.tune()
    assert [outcome.video_id for outcome in ledger.poll()] == ["v"]
    assert ledger.unsettled([item]) == []
    assert a_run.left == [0, 0, 0, 0, 0]


def test_a_lost_preview_is_made_again_and_nothing_else(a_run: WholeRun) -> None:
    a_run.store.delete(a_run.clip)
    withdraw(a_run.store, survey(a_run.store).dangling)
    assert len(a_run.plan().ingest_items({"v": "1"})) == 1
    a_run.ingest()
    assert a_run.left == [0, 0, 0, 0, 0]


def test_a_withdrawal_outlives_compaction(a_run: WholeRun) -> None:
    a_run.store.delete(a_run.edit)
    withdraw(a_run.store, survey(a_run.store).dangling)
    for _ in range(2):
        compact_table(a_run.store, "edits", grace=NOW)
    assert read_table(a_run.store, "edits") == read_table(a_run.store, "edits", ["prompt"]) == []


ODD = [
    "../outside.txt",
    "adapters/../../outside.txt",
    "/etc/passwd",
    "",
    ".",
    "file:///etc/passwd",
    "media//edits",
    "ä",
    "a\0b",
    "run.json/x",
    "*",
]


@pytest.mark.parametrize("address", ODD)
@pytest.mark.parametrize("column", ["video_uri", "frames_uri"])
def test_a_row_cannot_lead_out_of_the_run(
    a_run: WholeRun, root: Path, address: str, column: str
) -> None:
    place(root.parent, "outside.txt")
    key = a_run.state.edits["v/e"]["edit_key"]
    named = {"video_uri": a_run.edit, "frames_uri": a_run.frames, "num_frames": 3}
    a_run.commit("edits", edit_id="v/e", edit_key=key, **(named | {column: address}))
    before = tree(root.parent)
    found = survey(a_run.store, older_than=NOW)
    assert [one.address for one in found.dangling] == [address]
    assert found.orphans == []  # what the earlier row names is kept too
    withdraw(a_run.store, found.dangling)
    after = tree(root.parent)
    assert before.items() <= after.items()
    assert [path.split("/")[2] for path in after.keys() - before.keys()] == ["edits"]


def test_a_run_with_a_damaged_part_is_left_alone(a_run: WholeRun, root: Path) -> None:
    place(root, ORPHANS[0])
    (part,) = a_run.store.list("tables/edits")
    a_run.store.write_bytes(part.path, b"no parquet")
    before = tree(root)
    result = CliRunner().invoke(main, ["gc", str(root), "--delete"])
    assert result.exit_code == 1
    assert part.path in result.output
    assert tree(root) == before
    with pytest.raises(UserError, match=part.path):
        survey(a_run.store)


OBJECTS = st.fixed_dictionaries(
    {
        "table": st.sampled_from(["adapters", "videos", "edits", "frames"]),
        "key": st.integers(0, 3),
        "there": st.booleans(),
        "named": st.sampled_from(["yes", "no", "by a row that a later one replaces"]),
        "hours": st.sampled_from([0.1, 0.9, 1.1, 50.0]),
    }
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    objects=st.lists(OBJECTS, max_size=8, unique_by=lambda one: (one["table"], one["key"])),
    merge=st.booleans(),
    odd=st.lists(st.sampled_from(ODD), max_size=2),
    others=st.lists(st.sampled_from([*UNKNOWN, *KEPT]), max_size=3),
)
def test_nothing_that_a_row_names_is_ever_removed(
    tmp_path_factory: pytest.TempPathFactory,
    objects: list[dict[str, Any]],
    merge: bool,  # noqa: FBT001
    odd: list[str],
    others: list[str],
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    store, root = LocalStore(folder / "run"), folder / "run"
    place(folder, "outside.txt")
    for path in others:
        place(root, path, hours=1000)
    for one in objects:
        _commit_object(store, one)
    for number, address in enumerate(odd):
        row = make_row("adapters", adapter_key=f"odd {number}", uri=address)
        append_rows(store, "adapters", [row])
    if merge:
        for table in ("adapters", "videos", "edits"):
            compact_table(store, table)
    before = tree(folder)
    found = survey(store)
    assert tree(folder) == before, "looking changes nothing"
    remove(store, found.orphans)
    kept = tree(folder)
    gone = {path.removeprefix("run/") for path in before.keys() - kept.keys()}
    due = [one for one in objects if one["there"] and one["named"] == "no" and one["hours"] > 1]
    assert gone == {_object_path(one) for one in due}
    lost = [one for one in objects if not one["there"] and one["named"] == "yes"]
    assert {one.address for one in found.dangling} == {_address(one) for one in lost} | set(odd)
    withdraw(store, found.dangling)
    assert kept.items() <= tree(folder).items()
    assert survey(store).dangling == []


def _object_path(one: dict[str, Any]) -> str:
    key = f"{one['key']:032x}"
    return {
        "adapters": f"adapters/{key}.safetensors",
        "videos": f"media/sources/v-{key[-12:]}.mp4",
        "edits": f"media/edits/v/{key}.mp4",
        "frames": f"media/edits/v/{key}-frames/1.png",
    }[one["table"]]


def _address(one: dict[str, Any]) -> str:
    path = _object_path(one)
    return path.rpartition("/")[0] if one["table"] == "frames" else path


def _commit_object(store: LocalStore, one: dict[str, Any]) -> None:
    root, path = Path(store.root), _object_path(one)
    if one["there"]:
        place(root, path, one["hours"])
    if one["named"] == "no":
        return
    table = "edits" if one["table"] == "frames" else one["table"]
    key = {"adapters": "adapter_key", "videos": "video_key", "edits": "edit_key"}[table]
    row = make_row(table, **{key: f"{one['table']} {one['key']}"})
    if table == "edits":
        place(root, "media/edits/v/some.mp4", hours=0)
        row |= {"video_uri": "media/edits/v/some.mp4", "frames_uri": None, "num_frames": 1}
    if table == "videos":
        row |= {"uri": "/elsewhere/v.mp4"}
    column = {"adapters": "uri", "videos": "clip_uri", "edits": "video_uri"}
    named = "frames_uri" if one["table"] == "frames" else column[table]
    append_rows(store, table, [row | {named: _address(one)}])
    if one["named"] != "yes":
        other = "media/edits/v/other.mp4"
        place(root, other, hours=0)
        append_rows(store, table, [row | {column[table]: other}])


def test_the_command_is_a_dry_run_unless_told(a_run: WholeRun, root: Path) -> None:
    orphan = place(root, ORPHANS[0])
    place(root, "notes.txt")
    before = tree(root)
    result = CliRunner().invoke(main, ["gc", str(root)])
    assert result.exit_code == 0
    assert f"orphan    {ORPHANS[0]}  {len(ORPHANS[0])} bytes: no row of adapters" in result.output
    assert "unknown   'notes.txt' is kept" in result.output
    assert "Dry run: nothing was changed." in result.output
    a_run.store.delete(a_run.edit)
    del before[a_run.edit]
    result = CliRunner().invoke(main, ["gc", str(root), "--json"])
    assert result.exit_code == 4
    document = json.loads(result.stdout)
    assert document["deleted"] is False
    assert document["orphans"][0]["removed"] is False
    assert document["dangling"][0]["names"] == a_run.edit
    assert tree(root) == before
    result = CliRunner().invoke(main, ["gc", str(root), "--delete", "--older-than", "3h"])
    assert (result.exit_code, orphan.exists()) == (0, True)
    assert "1 row(s) withdrawn" in result.output
    result = CliRunner().invoke(main, ["gc", str(root), "--delete", "--json"])
    document = json.loads(result.stdout)
    assert (result.exit_code, document["deleted"], document["bytes"]) == (0, True, 53)
    assert document["orphans"][0]["removed"] is True
    assert (document["dangling"], document["unknown"]) == ([], ["notes.txt"])
    assert not orphan.exists()


@pytest.mark.parametrize("text", ["1", "h", "1w", "-1h", "1.5h", ""])
def test_a_time_without_a_meaning_is_refused(a_run: WholeRun, root: Path, text: str) -> None:
    result = CliRunner().invoke(main, ["gc", str(root), "--delete", "--older-than", text])
    assert result.exit_code == 2
    assert "is no time such as 90s" in result.output


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    orphan = place(tmp_path, ORPHANS[0])
    result = CliRunner().invoke(main, ["gc", str(tmp_path), "--delete"])
    assert result.exit_code == 1
    assert "run.json" in result.output
    assert orphan.exists()
