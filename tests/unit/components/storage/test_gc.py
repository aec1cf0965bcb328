"""What `tav gc` finds and removes, and above all what it does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from components.storage.compact import compact_table
from components.storage.garbage import Findings, remove, survey, withdraw
from components.storage.local import LocalStore
from components.storage.tables import append_rows, read_table
from tests.finished_run import write_run
from tests.unit.components.storage.test_tables import make_row
from tests.whole_run import (
    HOUR,
    KEPT,
    KEY,
    NOW,
    ODD,
    ORPHANS,
    UNKNOWN,
    WholeRun,
    paths,
    place,
    set_age,
    tree,
)


def test_a_finished_run_has_nothing_to_collect(a_run: WholeRun) -> None:
    assert survey(a_run.store, older_than=NOW) == Findings([], [], [], 0)
    assert a_run.left == [0, 0, 0, 0, 0, 0]


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


@pytest.mark.parametrize("path", [*UNKNOWN, *KEPT])
def test_other_files_are_never_removed(a_run: WholeRun, root: Path, path: str) -> None:
    place(root, path, hours=1000)
    found = survey(a_run.store, older_than=NOW)
    assert found == Findings([], [], [path] if path in UNKNOWN else [], 0)


def test_a_checkpoint_goes_when_its_tuning_is_finished(a_run: WholeRun, root: Path) -> None:
    checkpoint = f"checkpoints/{a_run.state.first.adapter_keys['v']}.safetensors"
    place(root, checkpoint)
    assert paths(survey(a_run.store)) == [checkpoint]
    half = WholeRun(root.with_name("half"))
    half.ingest()
    half.caption()
    place(root.with_name("half"), checkpoint)
    assert paths(survey(half.store, older_than=NOW)) == []
    columns = {"adapter_key": half.state.first.adapter_keys["v"], "uri": half._object("adapters/x")}
    half.commit("adapters", **columns)
    found = paths(survey(half.store, older_than=NOW))
    assert checkpoint in found  # its inversion is still to come, and needs the adapter alone


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
