"""Finished edits as a variant: read as sources are, scored as any edit is, one bad one a row."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.chaos.plain import PlainRunner
from components.config import VideoConfig, run_config
from components.errors import UserError
from components.run.current import State
from components.run.runner import RunResult
from components.storage.store import file_sha256
from components.storage.tables import Row, read_table
from components.video.isolated import decoder
from tests.runs import counts, tiny_document, write_manifest
from tests.sample_videos import grey_frames, levels, write_folder, write_video

FISH: dict[str, Any] = {"id": "fish", "prompt": "a red fish is swimming over the sea"}


@pytest.fixture
def document(tmp_path: Path, tiny_models: Path, tiny_clips: Path) -> dict[str, Any]:
    """A run of one clip and no base model, whose edits lie in ``edits/fish``."""
    document = tiny_document(tmp_path, tiny_models)
    document["model"]["base"] = "no/such-base-is-asked-for"
    document |= {"method": "precomputed", "precomputed": {"videos": pattern(tmp_path, ".mp4")}}
    (tmp_path / "edits" / "fish").mkdir(parents=True)
    return document


def pattern(folder: Path, suffix: str) -> str:
    return str(folder / "edits" / "{video}" / ("{edit}" + suffix))


def ask_for(document: dict[str, Any], clips: Path, *edits: str) -> None:
    asked = [{"id": name, "prompt": f"a {name} fish"} for name in edits]
    write_manifest(document, [FISH | {"uri": str(clips / "fish.mp4"), "edits": asked}])


def run(document: dict[str, Any], **options: Any) -> tuple[RunResult, State]:
    runner = PlainRunner(run_config(document, "test"), **options)
    return runner.run(), runner.state()


def shown(state: State, row: Row) -> np.ndarray[Any, Any]:
    """The frames of an edit's mp4."""
    video = VideoConfig(num_frames=row["num_frames"], width=64, height=64)
    return decoder().clip(Path(state.store.root, row["video_uri"]), video).frames


def test_finished_edits_are_scored_and_read_once(
    document: dict[str, Any], tiny_clips: Path, tmp_path: Path
) -> None:
    ask_for(document, tiny_clips, "grey")
    theirs = write_video(tmp_path / "edits" / "fish" / "grey.mp4", 4, size=(64, 64))
    result, state = run(document)
    assert counts(result) == {"ingest": 1, "sample": 1, "score": 1}
    (row,) = read_table(state.store, "edits")
    assert (row["method"], row["edit_id"], row["num_frames"]) == ("precomputed", "fish/grey", 4)
    assert (row["given_uri"], row["given_sha256"]) == (str(theirs), file_sha256(theirs))
    assert (row["adapter_key"], row["inversion"], row["artefact_key"]) == (None, None, None)
    assert levels(shown(state, row)) == [0, 1, 2, 3]
    (score,) = read_table(state.store, "scores")
    assert (score["method"], score["prompt"]) == ("precomputed", "a grey fish")
    assert score["values"]["frame_consistency"] > 0
    assert counts(run(document)[0]) == {}


def test_a_folder_of_frames_is_read_without_loss(
    document: dict[str, Any], tiny_clips: Path, tmp_path: Path
) -> None:
    document["precomputed"] = {"videos": pattern(tmp_path, "")}
    document["output"] = {"frames": True}
    ask_for(document, tiny_clips, "grey")
    names = [f"{number:04d}.png" for number in range(4)]
    write_folder(tmp_path / "edits" / "fish" / "grey", names, size=(64, 64))
    _, state = run(document)
    (row,) = read_table(state.store, "edits")
    folder = Path(state.store.root, row["frames_uri"])
    found = np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())])
    assert np.array_equal(found, grey_frames(4, 64, 64))


def test_a_changed_video_is_read_again_and_nothing_else_is(
    document: dict[str, Any], tiny_clips: Path, tmp_path: Path
) -> None:
    ask_for(document, tiny_clips, "grey", "other")
    theirs, kept = (tmp_path / "edits" / "fish" / f"{name}.mp4" for name in ("grey", "other"))
    write_video(theirs, 4, size=(64, 64))
    shutil.copy(theirs, kept)
    _, state = run(document)
    first = state.first.edits["fish/grey"]
    other = state.first.edits["fish/other"]
    scores = {row["edit_id"]: row for row in state.first.scores.values()}

    kept_theirs = shutil.copy2(theirs, tmp_path / "kept.mp4")
    write_video(theirs, grey_frames(8, 64, 64)[4:])
    result, state = run(document)
    assert counts(result) == {"sample": 1, "score": 1}
    second = state.first.edits["fish/grey"]
    assert second["edit_key"] != first["edit_key"]
    assert second["given_sha256"] == file_sha256(theirs)
    assert state.first.edits["fish/other"] == other
    assert counts(run(document)[0]) == {}

    # Back again, time of change and all: read once more, and its scores are there.
    shutil.copy2(kept_theirs, theirs)
    result, state = run(document)
    assert counts(result) == {"sample": 1}
    assert state.first.edits["fish/grey"]["edit_key"] == first["edit_key"]
    assert state.first.scores["fish/grey", "tav_paper_v1"] == scores["fish/grey"]
    assert counts(run(document)[0]) == {}


BAD = {
    "missing": r"missing\.mp4 does not exist",
    "short": r"short\.mp4 has 3 frames, but 4 are needed",
    "long": r"long\.mp4 has 5 frames, but the clip that it is an edit of has 4: give one of",
    "text": r"text\.mp4.* is text, and no video",
    "cut": r"cut\.mp4.* copy or download it again",
    "empty": r"empty\.mp4.* is empty \(0 bytes\)",
    "pipe": r"pipe\.mp4 is no regular file",
}


def test_each_bad_one_is_a_failure_row_and_a_mended_one_is_read(
    document: dict[str, Any], tiny_clips: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "edits" / "fish"
    ask_for(document, tiny_clips, "good", *BAD)
    good = write_video(folder / "good.mp4", 4, size=(64, 64))
    write_video(folder / "short.mp4", 3)
    write_video(folder / "long.mp4", 5)
    (folder / "text.mp4").write_text("Hello, this is no video at all.\n" * 50)
    (folder / "cut.mp4").write_bytes(good.read_bytes()[:-100])
    (folder / "empty.mp4").touch()
    os.mkfifo(folder / "pipe.mp4")
    result, state = run(document)
    assert set(state.first.edits) == {"fish/good"}
    failed = {row["edit_id"].removeprefix("fish/"): row for row in state.open_failures}
    assert set(failed) == set(BAD)
    for name, words in BAD.items():
        assert failed[name]["step"] == "sample"
        assert not failed[name]["retryable"]
        assert re.search(words, failed[name]["message"]), failed[name]["message"]
    assert result.failed_fraction == pytest.approx(7 / 8)
    assert result.status.steps["sample"].failed == 7
    assert counts(run(document)[0]) == {}, "what failed for good is not tried again"

    shutil.copy(good, folder / "missing.mp4")  # no --retry-failed: it is another file
    shutil.copy(good, folder / "long.mp4")
    write_video(folder / "short.mp4", 2)
    result, state = run(document)
    assert counts(result) == {"sample": 3, "score": 2}
    failed = {row["edit_id"].removeprefix("fish/"): row for row in state.open_failures}
    assert set(failed) == set(BAD) - {"missing", "long"}
    assert "has 2 frames" in failed["short"]["message"], "the last one counts"


@pytest.mark.parametrize(
    ("fit", "bars"), [("crop", (False, False)), ("pad", (True, False)), ("stretch", (False, False))]
)
def test_another_size_is_fitted_as_the_clip_was(
    document: dict[str, Any], tiny_clips: Path, tmp_path: Path, fit: str, bars: tuple[bool, bool]
) -> None:
    ask_for(document, tiny_clips, "wide")
    document["video"]["fit"] = fit
    frames = np.full((4, 64, 128, 3), 200, np.uint8)
    frames[:, :, :32] = 90  # a quarter on the left: cropped away, kept, or squeezed
    write_video(tmp_path / "edits" / "fish" / "wide.mp4", frames)
    _, state = run(document)
    (row,) = read_table(state.store, "edits")
    middle = shown(state, row)[0].mean(axis=2)
    assert middle.shape == (64, 64)
    assert (middle[2, 32] < 30, middle[32, 2] < 30) == bars
    left = {"crop": 200, "pad": 90, "stretch": 90}[fit]
    assert abs(middle[32, 8] - left) < 8
    assert abs(middle[32, 40] - 200) < 8


def test_patterns_that_cannot_serve_are_refused_before_any_work(
    document: dict[str, Any], tiny_clips: Path, tmp_path: Path
) -> None:
    ask_for(document, tiny_clips, "grey")
    for videos, words in {
        "http://host/{video}/{edit}.mp4": "unknown scheme 'http'.*use a local path, file:// or s3://",
        "s3:///{video}/{edit}.mp4": "names no bucket",
        "s3://me:secret@b/{video}/{edit}.mp4": r"'s3://\*\*\*@b/.*holds credentials",
    }.items():
        document["precomputed"]["videos"] = videos
        with pytest.raises(UserError, match=words) as refused:
            PlainRunner(run_config(document, "test"))
        assert "precomputed.videos" in str(refused.value)
        assert "secret" not in str(refused.value)
    document["precomputed"] = {}
    with pytest.raises(UserError, match=r"precomputed: 1 problem.*\n  videos: is required"):
        run_config(document, "test")
    assert not Path(document["run"]).exists()


def test_two_edits_of_one_address_are_refused(
    document: dict[str, Any], tiny_clips: Path, tmp_path: Path
) -> None:
    edit = {"id": "grey", "prompt": "a grey fish"}
    videos = [
        FISH | {"id": name, "uri": str(tiny_clips / "fish.mp4"), "edits": [edit]}
        for name in ("fish", "shoal")
    ]
    write_manifest(document, videos)
    document["precomputed"]["videos"] = str(tmp_path / "edits" / "fish" / "{edit}.mp4")
    with pytest.raises(UserError, match=r"'shoal/grey' .*'fish/grey'.*grey\.mp4.*\{video\}"):
        PlainRunner(run_config(document, "test"))
    write_manifest(document, videos[:1])  # of one video the name of the edit tells enough
    write_video(tmp_path / "edits" / "fish" / "grey.mp4", 4)
    assert counts(run(document)[0]) == {"ingest": 1, "sample": 1, "score": 1}
