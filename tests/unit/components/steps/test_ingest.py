"""The ingest step on real videos and a local store."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.config import OutputConfig, RunConfig, VideoConfig, VideoLimits
from components.errors import SourceError
from components.records.keys import content_key
from components.steps.ingest import IngestItem, IngestWorker, load_clip, load_mask, video_key
from components.steps.step import Outcome, StepContext
from components.storage.store import file_sha256
from components.storage.tables import Row, read_table
from components.video.io import decode_clip, probe, read_mp4_frames
from components.video.sources import source_sha256, stat_source
from tav_model.config import ModelConfig
from tests.sample_videos import grey_frames, levels, write_folder, write_video

VIDEO = VideoConfig(num_frames=4, width=32, height=24)


@pytest.fixture
def context(tmp_path: Path) -> StepContext:
    config = RunConfig(run=str(tmp_path / "run"), manifest="unused", model=ModelConfig(base="-"))
    return StepContext(config=config, config_hash="c0ffee")


def make_item(path: Path, video: VideoConfig = VIDEO, **changes: Any) -> IngestItem:
    item = IngestItem(
        item_key="key",
        video_id="walk",
        uri=str(path),
        source_version=stat_source(str(path)).version if path.exists() else "gone",
        video=dataclasses.asdict(video),
        attempt=1,
    )
    return dataclasses.replace(item, **changes)


def ingest(context: StepContext, *items: IngestItem) -> tuple[list[Outcome], list[Row]]:
    outcomes = IngestWorker(context)(items)
    return outcomes, read_table(context.store(), "videos")


def test_a_video_becomes_a_row_and_a_preview(context: StepContext, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a walk.mp4", 12, fps=12)
    (outcome,), (row,) = ingest(context, make_item(path))
    assert (outcome.video_id, outcome.edit_id, outcome.error) == ("walk", None, None)
    assert row["sha256"] == file_sha256(path)
    assert row["video_key"] == video_key(row["sha256"], VIDEO)
    assert (row["num_frames"], row["source_frames"], row["fps"]) == (4, 12, 12.0)
    assert (row["source_width"], row["source_height"]) == (64, 48)
    assert (row["width"], row["height"], row["fit"]) == (32, 24, "crop")
    assert row["frame_indices"] == [0, 3, 6, 9]
    assert (row["config_hash"], row["device"]) == ("c0ffee", "cpu")
    preview = tmp_path / "run" / row["clip_uri"]
    assert file_sha256(preview) == row["clip_sha256"]
    assert levels(read_mp4_frames(preview)) == [0, 3, 6, 9]
    # Every third frame: at the source's speed a third of its rate.
    assert probe(preview).fps == row["true_fps"] == row["clip_fps"] == 4


@pytest.mark.parametrize(("fps", "expected"), [("source_rate", 12), (7.5, 7.5), (0.05, 0.05)])
def test_previews_play_at_the_rate_that_is_asked_for(
    context: StepContext, tmp_path: Path, fps: Any, expected: float
) -> None:
    output = OutputConfig(fps=fps)
    item = make_item(write_video(tmp_path / "a.mp4", 12, fps=12))
    _, (first,) = ingest(context, item)
    other = dataclasses.replace(context, config=dataclasses.replace(context.config, output=output))
    _, (second,) = ingest(other, item)
    preview = tmp_path / "run" / second["clip_uri"]
    assert probe(preview, VideoLimits(duration=1e6)).fps == second["clip_fps"] == expected
    assert (second["fps"], second["true_fps"]) == (12, 4)
    # What the row before names is left as it is, and its pictures are these.
    former = tmp_path / "run" / first["clip_uri"]
    assert file_sha256(former) == first["clip_sha256"] != second["clip_sha256"]
    assert np.array_equal(read_mp4_frames(former), read_mp4_frames(preview))


def test_a_varying_rate_is_read_by_time_and_says_so(context: StepContext, tmp_path: Path) -> None:
    times = [*range(30), *range(30, 120, 3)]
    path = write_video(tmp_path / "a.mp4", 60, fps=30, times=times)
    _, (row,) = ingest(context, make_item(path))
    assert row["frame_indices"] == [0, 29, 39, 49]
    assert row["reading"] == ["time"]
    assert row["video_key"] == video_key(row["sha256"], VIDEO, ("time",))
    assert levels(load_clip(row, VIDEO.limits).frames) == [0, 29, 39 - 32, 49 - 32]


@pytest.mark.parametrize("kind", ["mp4", "webm", "gif", "folder"])
def test_a_clip_is_loaded_frame_for_frame(context: StepContext, tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        path = write_folder(tmp_path / "frames", [f"{i}.png" for i in range(12)])
    else:
        path = write_video(tmp_path / f"a.{kind}", 12)
    video = dataclasses.replace(VIDEO, selection="stride", start=2, stride=3, fit="pad")
    _, (row,) = ingest(context, make_item(path, video))
    clip = load_clip(row, VIDEO.limits)
    expected = decode_clip(path, video)
    assert np.array_equal(clip.frames, expected.frames)
    assert (clip.frame_indices, clip.fps) == ((2, 5, 8, 11), expected.fps)
    assert row["sha256"] == source_sha256(path)


def test_what_a_folder_of_frames_leaves_out_is_told_with_its_video(
    context: StepContext, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_folder(tmp_path / "frames", [f"{i}.png" for i in (1, 2, 3, 5, 6)])
    _, (plain,) = ingest(context, make_item(path))
    shutil.copy(path / "1.png", path / "cover.png")
    caplog.clear()
    _, rows = ingest(context, make_item(path))
    assert rows[-1] == plain | {name: rows[-1][name] for name in ("seconds", "created_at")}
    told = [record for record in caplog.records if record.levelname == "WARNING"]
    assert [record.getMessage().partition(":")[0] for record in told] == [
        "1 file(s) beside 5 frame(s) left out",
        "the frames' numbers jump in 1 place(s), after 3.png",
    ]
    assert {record.__dict__["video"] for record in told} == {"walk"}


def test_a_profile_that_is_not_used_is_told_with_its_video(
    context: StepContext, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_folder(tmp_path / "frames", [f"{i}.png" for i in range(4)])
    Image.new("RGB", (64, 48)).save(path / "2.png", icc_profile=b"none")
    ingest(context, make_item(path))
    (record,) = (record for record in caplog.records if record.levelname == "WARNING")
    assert "an ICC profile that cannot be read is not applied" in record.getMessage()
    assert record.getMessage().endswith("(of 1 frame(s): 2.png)")
    assert record.__dict__["video"] == "walk"


def test_profiles_and_transparency_are_of_the_key(context: StepContext, tmp_path: Path) -> None:
    keys = {}
    for name, color in [("opaque", (255, 0, 0, 255)), ("clear", (255, 0, 0, 0))]:
        (tmp_path / name).mkdir()
        for i in range(4):
            Image.new("RGBA", (64, 48), color).save(tmp_path / name / f"{i}.png")
        _, rows = ingest(context, make_item(tmp_path / name, video_id=name))
        (row,) = (row for row in rows if row["video_id"] == name)
        keys[name] = (row["reading"], row["video_key"] == video_key(row["sha256"], VIDEO))
    assert keys == {"opaque": ([], True), "clear": (["alpha"], False)}


def test_a_source_that_changed_is_not_the_clip_any_more(
    context: StepContext, tmp_path: Path
) -> None:
    path = write_video(tmp_path / "a.mp4", 12)
    _, (row,) = ingest(context, make_item(path))
    write_video(path, 13)
    with pytest.raises(SourceError, match=r"a\.mp4 has sha256 .* it changed"):
        load_clip(row, VIDEO.limits)
    path.unlink()
    with pytest.raises(SourceError, match=r"a\.mp4 does not exist"):
        load_clip(row, VIDEO.limits)


def test_equal_bytes_are_one_clip_wherever_they_lie(context: StepContext, tmp_path: Path) -> None:
    first = write_video(tmp_path / "a.mp4", 12)
    second = tmp_path / "copy.mp4"
    shutil.copy(first, second)
    items = [make_item(first, video_id="a"), make_item(second, video_id="b")]
    other = dataclasses.replace(VIDEO, start=1)
    items.append(make_item(first, other, video_id="c"))
    _, rows = ingest(context, *items)
    keys = {row["video_id"]: row["video_key"] for row in rows}
    assert keys["a"] == keys["b"] != keys["c"]


def test_a_second_ingest_writes_equal_objects(context: StepContext, tmp_path: Path) -> None:
    item = make_item(write_video(tmp_path / "a.mp4", 12))
    _, (first,) = ingest(context, item)
    _, (second,) = ingest(context, item)
    assert first["clip_sha256"] == second["clip_sha256"]
    assert first["video_key"] == second["video_key"]


def test_a_bad_video_is_a_row_and_the_others_go_on(context: StepContext, tmp_path: Path) -> None:
    good = write_video(tmp_path / "good.mp4", 12)
    items = [make_item(tmp_path / "gone.mp4", video_id="gone", attempt=2), make_item(good)]
    outcomes, rows = ingest(context, *items)
    assert [row["video_id"] for row in rows] == ["walk"]
    (failure,) = read_table(context.store(), "failures")
    assert (failure["step"], failure["video_id"], failure["edit_id"]) == ("ingest", "gone", None)
    assert (failure["error_type"], failure["attempt"]) == ("SourceError", 2)
    assert failure["retryable"] is False
    assert outcomes[0].error == f"SourceError: {failure['message']}"
    assert outcomes[1].error is None
    assert list((tmp_path / "run" / "media").rglob("*gone*")) == []


def test_a_key_tells_how_the_source_was_read_where_version_1_read_it_otherwise() -> None:
    assert video_key("ab", VIDEO, ()) == content_key(sha256="ab", video=VIDEO)
    assert video_key("ab", VIDEO, ("alpha",)) != video_key("ab", VIDEO)


def write_mask(path: Path, count: int = 12) -> Path:
    """Write a mask whose frame i is white from row 4·i mod 48 on, as a folder or a video."""
    frames = np.zeros((count, 48, 64, 3), np.uint8)
    for index, frame in enumerate(frames):
        frame[4 * index % 48 :] = 255
    if path.suffix:
        return write_video(path, frames)
    path.mkdir()
    for index, frame in enumerate(frames):
        Image.fromarray(frame[..., 0]).save(path / f"{index:05d}.png")
    return path


@pytest.mark.parametrize("kind", ["mp4", "folder"])
@pytest.mark.parametrize(
    "changes",
    [{}, {"selection": "stride", "start": 2, "stride": 3}, {"fit": "pad", "width": 64}],
    ids=str,
)
def test_a_mask_is_read_frame_for_frame_with_its_clip(
    context: StepContext, tmp_path: Path, kind: str, changes: dict[str, Any]
) -> None:
    path = write_video(tmp_path / "a.mp4", 12)
    mask = write_mask(tmp_path / ("mask" if kind == "folder" else "mask.mp4"))
    video = dataclasses.replace(VIDEO, **changes)
    _, (plain,) = ingest(context, make_item(path, video))
    assert (plain["mask_uri"], plain["mask_version"], plain["mask_sha256"]) == (None, None, None)
    assert load_mask(plain, VIDEO.limits) is None
    item = make_item(path, video, mask_uri=str(mask), mask_version="7")
    _, (row,) = ingest(context, item)
    assert (row["mask_uri"], row["mask_version"]) == (str(mask), "7")
    assert row["mask_sha256"] == source_sha256(mask)
    assert row["video_key"] == plain["video_key"]
    found = load_mask(row, VIDEO.limits)
    assert found is not None
    assert found.shape == load_clip(row, VIDEO.limits).frames.shape[:3]
    left = 16 if changes.get("fit") == "pad" else 0  # bars of a clip of 64x24
    for frame, index in zip(found, row["frame_indices"], strict=True):
        rows = frame[:, left:-left].all(axis=1) if left else frame.all(axis=1)
        assert rows.tolist() == [2 * place >= 4 * index for place in range(24)]
        assert frame.sum() == rows.sum() * (video.width - 2 * left)


def test_frames_of_a_mask_follow_a_varying_rate(context: StepContext, tmp_path: Path) -> None:
    """Which frames the clip has is the source's matter: the mask has no times of its own."""
    times = [*range(6), *range(6, 24, 3)]
    path = write_video(tmp_path / "a.mp4", 12, fps=30, times=times)
    mask = write_mask(tmp_path / "mask.mp4")
    _, (row,) = ingest(context, make_item(path, mask_uri=str(mask), mask_version="7"))
    assert row["reading"] == ["time"]
    found = load_mask(row, VIDEO.limits)
    assert found is not None
    assert [24 - int(frame[:, 0].sum()) for frame in found] == [
        2 * index for index in row["frame_indices"]
    ]


def test_single_frames_of_a_mask_may_be_empty_or_full(context: StepContext, tmp_path: Path) -> None:
    path, mask = write_video(tmp_path / "a.mp4", 12), write_mask(tmp_path / "mask")
    Image.new("L", (64, 48)).save(mask / "00003.png")
    _, (row,) = ingest(context, make_item(path, mask_uri=str(mask), mask_version="1"))
    found = load_mask(row, VIDEO.limits)
    assert found is not None
    assert (found[0].all(), found[1].any(), found[2].any()) == (True, False, True)


def test_a_mask_that_changed_is_not_read_any_more(context: StepContext, tmp_path: Path) -> None:
    path, mask = write_video(tmp_path / "a.mp4", 12), write_mask(tmp_path / "mask.mp4")
    _, (row,) = ingest(context, make_item(path, mask_uri=str(mask), mask_version="1"))
    write_video(mask, grey_frames(12))
    with pytest.raises(SourceError, match=r"mask: .*mask\.mp4 has sha256 .* it changed"):
        load_mask(row, VIDEO.limits)
    mask.unlink()
    with pytest.raises(SourceError, match=r"mask\.mp4 does not exist: check the manifest's mask"):
        load_mask(row, VIDEO.limits)


def test_what_a_folder_of_masks_leaves_out_is_told(
    context: StepContext, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, mask = write_video(tmp_path / "a.mp4", 12), write_mask(tmp_path / "mask")
    shutil.copy(mask / "00001.png", mask / "cover.png")
    ingest(context, make_item(path, mask_uri=str(mask), mask_version="1"))
    (record,) = (record for record in caplog.records if record.levelname == "WARNING")
    assert record.getMessage().startswith("mask: 1 file(s) beside 12 frame(s) left out")
