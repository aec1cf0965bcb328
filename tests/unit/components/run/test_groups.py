"""Videos that are tuned together: one adapter, and inversions, edits and failures of each alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos.plain import PlainRunner
from components.config import run_config
from components.errors import UserError
from components.results.report import collect
from components.run.estimate import plan_run
from components.run.record import load_run
from components.storage.latents import LatentsReader
from components.storage.tables import Row, read_table
from tests.runs import counts, tiny_document, write_manifest

STEPS = ("ingest", "caption", "control", "tune", "sample")
EDITS = [{"id": "snow", "category": "background", "prompt": "a pet in the snow"}]


class Run:
    """Three clips with one and the same edit, of which two may be one subject's."""

    def __init__(self, folder: Path, models: Path, clips: Path) -> None:
        self.document = tiny_document(folder, models)
        self.videos: dict[str, dict[str, Any]] = {
            name: {"uri": str(clips / f"{clip}.mp4"), "prompt": f"a {clip}"}
            for name, clip in (("one", "fish"), ("two", "pair"), ("three", "fish"))
        }
        self.videos["three"]["prompt"] = "a whale"

    def group(self, *names: str) -> None:
        for name, video in self.videos.items():
            video.pop("group", None)
            if name in names:
                video["group"] = "pet"

    def runner(self, *, retry_failed: bool = False) -> PlainRunner:
        videos = [{"id": name, "edits": EDITS} | video for name, video in self.videos.items()]
        write_manifest(self.document, videos)
        return PlainRunner(run_config(self.document, "test"), retry_failed=retry_failed)

    def __call__(self, *, retry_failed: bool = False) -> tuple[dict[str, int], PlainRunner]:
        runner = self.runner(retry_failed=retry_failed)
        return counts(runner.run(STEPS)), runner


@pytest.fixture
def a_run(tmp_path: Path, tiny_models: Path, tiny_clips: Path) -> Run:
    return Run(tmp_path, tiny_models, tiny_clips)


def by_video(runner: PlainRunner, table: str) -> dict[str, Row]:
    return {row["video_id"]: row for row in read_table(runner.store, table)}


def test_a_group_shares_one_adapter_and_nothing_else(a_run: Run) -> None:
    a_run.group("one", "two")
    did, runner = a_run()
    assert not read_table(runner.store, "failures")
    # The group's first video with its inversion, the other's inversion, and the third video.
    assert did == {"ingest": 3, "tune": 3, "sample": 3}
    adapters = by_video(runner, "adapters")
    (owner,) = adapters.keys() - {"three"}
    assert sorted(adapters[owner]["group_videos"]) == ["one", "two"]
    assert adapters["three"]["group_videos"] is None
    edits = by_video(runner, "edits")
    assert edits["one"]["adapter_key"] == edits["two"]["adapter_key"]
    assert edits["one"]["adapter_key"] == adapters[owner]["adapter_key"]
    assert edits["three"]["adapter_key"] == adapters["three"]["adapter_key"]
    assert len({row["edit_key"] for row in edits.values()}) == 3, "each is of its own clip"
    assert len({row["sha256"] for row in edits.values()}) == 3
    # Latents of one adapter and one inversion, in one part or not, are those of their own video.
    reader, rows = LatentsReader(runner.store), read_table(runner.store, "latents", with_part=True)
    assert len(rows) == 3
    for row in rows:
        key = (row["video_id"], row["adapter_key"], row["inversion"])
        found = reader.read(row["part"], *key)
        assert found.ravel().tolist() == list(row["latents"])
    status = runner.state().status().steps["tune"]
    assert (status.total, status.done, status.failed) == (3, 3, 0)
    assert load_run(a_run.document["run"]).manifest == runner.manifest
    assert len(collect(runner.store).rows) == 3
    assert a_run()[0] == {}, "all is there"


def test_a_group_of_one_is_no_group(a_run: Run) -> None:
    a_run()
    a_run.group("one")
    assert a_run()[0] == {}


def test_who_joins_or_leaves_tunes_the_group_anew_and_no_other(a_run: Run) -> None:
    a_run()
    a_run.group("one", "two")
    planned = plan_run(a_run.runner().state())
    assert planned.steps["tune"].todo == 2
    did, runner = a_run()
    assert did == {"tune": 2, "sample": 2}
    keys = dict(runner.state().first.adapter_keys)
    # Neither order nor names are in the key.
    a_run.videos = dict(reversed(a_run.videos.items()))
    assert a_run()[0] == {}
    a_run.group("one", "two", "three")
    did, runner = a_run()
    assert did == {"tune": 3, "sample": 3}
    assert len({*runner.state().first.adapter_keys.values()} | {*keys.values()}) == 3
    a_run.group("one", "two")
    assert a_run()[0] == {}, "both are still there"
    a_run.videos["two"]["prompt"] = "a bright star"
    assert a_run()[0] == {"tune": 2, "sample": 2}


def test_a_member_that_cannot_be_read_holds_up_its_group_alone(a_run: Run) -> None:
    a_run.group("one", "two")
    whole = a_run.videos["two"]["uri"]
    a_run.videos["two"]["uri"] = str(Path(whole).with_name("gone.mp4"))
    did, runner = a_run()
    assert did == {"ingest": 3, "tune": 2, "sample": 1}
    failures = {
        (row["step"], row["video_id"]): row["message"] for row in runner.state().open_failures
    }
    assert set(failures) == {("ingest", "two"), ("tune", "one")}
    assert "the group 'pet' lacks 'two', which failed at ingest" in failures["tune", "one"]
    status = runner.state().status().steps["tune"]
    assert (status.done, status.failed) == (1, 2)
    assert a_run()[0] == {}, "not again"
    a_run.videos["two"]["uri"] = whole
    did, runner = a_run()
    assert did == {"ingest": 1, "tune": 2, "sample": 2}
    assert not runner.state().open_failures


def test_a_group_that_cannot_be_tuned_is_a_failure_of_each_of_its_videos(a_run: Run) -> None:
    a_run.group("one", "two")
    a_run.videos["two"]["prompt"] = "a star " * 100
    did, runner = a_run()
    assert did == {"ingest": 3, "tune": 2, "sample": 1}
    failures = {row["video_id"]: row for row in runner.state().open_failures}
    assert {name: row["step"] for name, row in failures.items()} == dict.fromkeys(
        ("one", "two"), "tune"
    )
    assert len({row["item_key"] for row in failures.values()}) == 1
    assert all("tokens" in row["message"] for row in failures.values())
    assert any("the group 'pet' could not be tuned" in row["message"] for row in failures.values())
    assert a_run(retry_failed=True)[0] == {"tune": 1}
    a_run.group()
    did, runner = a_run()
    assert did == {"tune": 2, "sample": 1}, "only the video with that prompt fails now"
    assert {row["video_id"] for row in runner.state().open_failures} == {"two"}


def test_methods_that_tune_no_adapter_refuse_groups(a_run: Run, tiny_models: Path) -> None:
    a_run.group("one", "two")
    live = {"method": "text2live", "text2live": {"clip": str(tiny_models / "clip")}}
    a_run.document["variants"] = {"full": {}, "same": {"method": "identity"}, "live": live}
    with pytest.raises(
        UserError, match=r"'live': method 'text2live' tunes no adapter.* 2 videos of group 'pet'"
    ):
        a_run.runner()
    del a_run.document["variants"]["live"]
    a_run.runner()
