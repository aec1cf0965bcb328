"""What a run computes, and what it computes again, with all workers in this process."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos.plain import PlainRunner
from components.errors import UserError
from components.run.current import State
from components.run.runner import RunResult
from components.storage.store import Store
from components.storage.tables import append_rows, read_table
from tests.runs import counts, run_config, tiny_document, tiny_videos, write_manifest


@pytest.fixture
def document(tmp_path: Path, tiny_models: Path) -> dict[str, Any]:
    return tiny_document(tmp_path, tiny_models)


def run(document: dict[str, Any]) -> tuple[RunResult, State]:
    runner = PlainRunner(run_config(document))
    return runner.run(), runner.state()


def test_a_rerun_computes_only_what_changed(document: dict[str, Any], tiny_clips: Path) -> None:
    videos = tiny_videos(tiny_clips)
    write_manifest(document, videos)
    result, state = run(document)
    # pair has no prompt, so BLIP-2 captions it; fish's prompt is the manifest's.
    assert counts(result) == {"ingest": 2, "caption": 1, "tune": 2, "sample": 3, "score": 3}
    assert result.failed_fraction == 0

    result, _ = run(document)
    assert counts(result) == {}

    videos[0]["edits"].append({"id": "snow", "category": "background", "replace": {"sea": "snow"}})
    write_manifest(document, videos)
    result, _ = run(document)
    assert counts(result) == {"sample": 1, "score": 1}

    document["score"]["protocols"] = ["tav_paper_v1", "rave_v1"]
    result, state = run(document)
    assert counts(result) == {"score": 4}
    assert {protocol for _, protocol in state.first.scores} == {"tav_paper_v1", "rave_v1"}

    before = set(state.first.adapter_keys.values())
    document["tune"] = {"steps": 3}
    result, state = run(document)
    assert counts(result) == {"tune": 2, "sample": 4, "score": 8}
    assert before.isdisjoint(state.first.adapter_keys.values())

    # Another inversion keeps the adapters.
    document["invert"] = {"steps": 3}
    adapters = read_table(state.store, "adapters")
    result, state = run(document)
    assert counts(result) == {"tune": 2, "sample": 4, "score": 8}
    assert read_table(state.store, "adapters") == adapters

    # What was computed under the first settings is still there.
    document |= {"tune": {"steps": 2}, "invert": {"steps": 2}}
    result, _ = run(document)
    assert counts(result) == {}


def as_version_1(store: Store) -> None:
    """Leave of the videos what the first version of the reader would have written."""
    rows = read_table(store, "videos")
    for path in list(store.list("tables/videos")):
        store.delete(path.path)
    later = ("reading_version", "reading", "true_fps", "clip_fps")
    former = dict.fromkeys(later)
    append_rows(store, "videos", [row | former for row in rows])


def test_videos_of_an_older_reader_are_read_once_more_and_all_made_of_them_counts(
    document: dict[str, Any], tiny_clips: Path
) -> None:
    write_manifest(document, tiny_videos(tiny_clips))
    _, state = run(document)
    keys = {row["video_key"] for row in state.first.videos.values()}
    as_version_1(state.store)
    runner = PlainRunner(run_config(document))
    assert len(runner.state().first.scores) == 3  # shown as they are
    assert counts(runner.run()) == {"ingest": 2}
    assert {row["video_key"] for row in runner.state().first.videos.values()} == keys
    assert counts(run(document)[0]) == {}


def test_edits_play_as_fast_as_their_sources_move_or_as_asked(
    document: dict[str, Any], tiny_clips: Path
) -> None:
    write_manifest(document, tiny_videos(tiny_clips))
    _, state = run(document)
    rate, count = 8, 24  # of tinyworld's clips, of which 4 frames are taken
    found = read_table(state.store, "edits")
    assert {row["fps"] for row in found} == {rate * 4 / count}
    videos = read_table(state.store, "videos")
    assert {row["fps"] for row in videos} == {rate}
    assert {row["clip_fps"] for row in videos} == {rate * 4 / count}

    # Another rate writes previews and edits once more, and tunes nothing.
    result, state = run(document | {"output": {"fps": 12}})
    assert counts(result) == {"ingest": 2, "sample": 3, "score": 3}
    assert {row["clip_fps"] for row in read_table(state.store, "videos")} == {12}
    keys = {row["edit_key"] for row in state.first.edits.values()}
    assert {row["fps"] for row in read_table(state.store, "edits") if row["edit_key"] in keys} == {
        12
    }
    # Frames do not depend on it, so neither do scores.
    scores = {
        (r["edit_id"], r["values"].get("textual_alignment"))
        for r in read_table(state.store, "scores")
    }
    assert len(scores) == 3


def test_no_step_reads_clips_of_an_older_reader(document: dict[str, Any], tiny_clips: Path) -> None:
    write_manifest(document, tiny_videos(tiny_clips))
    runner = PlainRunner(run_config(document))
    runner.run(["ingest", "caption"])
    as_version_1(runner.store)
    with pytest.raises(UserError, match=r"2 videos .*\(fish first\).*`tav ingest`"):
        runner.run(["tune"])


def test_a_loss_that_is_no_number_is_a_failure(document: dict[str, Any], tiny_clips: Path) -> None:
    video = tiny_videos(tiny_clips)[0]
    write_manifest(document, [video])
    document["tune"] = {"steps": 8, "learning_rate": 1e30, "max_grad_norm": 1e30}
    result, state = run(document)
    (failure,) = state.open_failures
    assert failure["step"] == "tune"
    assert failure["error_type"] == "NonFiniteLossError"
    assert "learning_rate" in failure["message"]
    assert result.status.steps["sample"].failed == 2  # they wait for a tuning that failed
    assert result.failed_fraction == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": "../fish"}, ("../fish", "id")),
        ({"id": "a/b"}, ("a/b", "id")),
        ({"uri": "ftp://host/fish.mp4"}, ("ftp", "s3://")),
        ({"prompt": ""}, ("prompt", "empty")),
        ({"promt": "a fish"}, ("promt", "prompt")),
    ],
)
def test_a_wrong_manifest_is_refused_before_any_work(
    document: dict[str, Any], tiny_clips: Path, change: dict[str, str], words: tuple[str, ...]
) -> None:
    videos = tiny_videos(tiny_clips)
    write_manifest(document, [videos[0] | change, videos[1]])
    with pytest.raises(UserError) as refused:
        PlainRunner(run_config(document))
    for word in words:
        assert word in str(refused.value)
    assert not Path(document["run"]).exists()


def test_duplicate_ids_are_refused(document: dict[str, Any], tiny_clips: Path) -> None:
    video = tiny_videos(tiny_clips)[0]
    write_manifest(document, [video, copy.deepcopy(video)])
    with pytest.raises(UserError, match="fish"):
        PlainRunner(run_config(document))


def test_unknown_configuration_keys_and_protocols_are_refused(
    document: dict[str, Any], tiny_clips: Path
) -> None:
    write_manifest(document, tiny_videos(tiny_clips))
    with pytest.raises(UserError, match=r"tune\.stpes.*did you mean 'steps'"):
        run_config(document | {"tune": {"stpes": 3}})
    with pytest.raises(UserError, match="tav_paper_v1"):
        PlainRunner(run_config(document | {"score": {"protocols": ["tav_papr_v1"]}}))
