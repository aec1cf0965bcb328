"""Folders of frames, from the names to the clip."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.config import VideoConfig, VideoLimits
from components.errors import SourceError
from components.storage.store import file_sha256
from components.video.io import decode_clip, decode_frames, probe
from components.video.sources import fetch_source, source_sha256, stat_source
from tests.sample_videos import levels, write_folder
from tests.unit.components.video.test_pictures import GREEN, RED, WHITE, swapped_profile

VIDEO = VideoConfig(num_frames=4, width=32, height=24)
NAMES = [f"{i}.png" for i in range(8, 12)]


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".JPG"])
def test_a_cover_is_no_frame_of_any_format(tmp_path: Path, suffix: str) -> None:
    folder = write_folder(tmp_path / "frames", [f"{i}{suffix}" for i in range(8, 12)])
    plain = decode_clip(folder, VIDEO)
    version, sha256 = stat_source(str(folder)).version, source_sha256(folder)
    Image.new("RGB", (64, 48)).save(folder / "cover.jpg")
    Image.new("RGB", (64, 48)).save(folder / "8_mask.png")
    told: list[str] = []
    assert fetch_source(str(folder), tmp_path / "unused", tell=told.append) == folder
    assert told == ["2 file(s) beside 4 frame(s) left out: 8_mask.png, cover.jpg"]
    clip = decode_clip(folder, VIDEO)
    assert levels(clip.frames) == [0, 1, 2, 3]
    assert clip.source == plain.source
    assert clip.source is not None
    assert clip.source.reading == ()
    found = (stat_source(str(folder)).version, source_sha256(folder))
    assert found == (version, sha256), "what is left out is no part of the source"


def test_the_digest_of_a_folder_is_that_of_version_1(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "frames", ["1.png", "2.png", "10.png"])
    members = sorted([file.name, file_sha256(file)] for file in folder.iterdir())
    text = json.dumps(members, separators=(",", ":"))
    assert source_sha256(folder) == hashlib.sha256(text.encode()).hexdigest()


def test_two_sets_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "frames", [f"{i}.{end}" for i in "12" for end in ("png", "jpg")]
    )
    for use in (lambda: stat_source(str(folder)), lambda: probe(folder)):
        with pytest.raises(SourceError, match=r"2 sets of pictures \(2 #\.jpg, 2 #\.png\)"):
            use()


@pytest.mark.parametrize("odd", ["8.png", "10.png", "11.png"])
def test_the_picture_of_another_size_is_named_wherever_it_is(tmp_path: Path, odd: str) -> None:
    folder = write_folder(tmp_path / "frames", NAMES)
    Image.new("RGB", (65, 48)).save(folder / odd)
    with pytest.raises(SourceError, match=rf"frames/{odd} is 65×48, but 3 of 4 frames are 64×48"):
        probe(folder)


def test_an_empty_picture_is_named_though_it_is_not_chosen(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "frames", NAMES)
    (folder / "10.png").write_bytes(b"")
    with pytest.raises(SourceError, match=r"frames/10\.png is no readable image"):
        decode_clip(folder, VideoConfig(num_frames=1, width=32, height=24))


def test_modes_may_differ_from_frame_to_frame(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for i, mode in enumerate(["RGB", "L", "P", "1"]):
        Image.new("RGB", (64, 48), "white").convert(mode).save(folder / f"{i}.png")
    clip = decode_clip(folder, VIDEO)
    assert (clip.frames == 255).all()
    assert clip.source is not None
    assert clip.source.reading == ()


def test_both_passes_show_what_browsers_show(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    Image.new("RGB", (64, 48), RED).save(folder / "1.png")
    Image.new("RGBA", (64, 48), (*RED, 0)).save(folder / "2.png")
    Image.new("RGB", (64, 48), RED).save(folder / "3.png", icc_profile=swapped_profile())
    Image.new("RGB", (64, 48), RED).save(folder / "4.png", icc_profile=b"broken")
    clip = decode_clip(folder, VIDEO)
    again = decode_frames(folder, [0, 1, 2, 3], VIDEO)
    np.testing.assert_array_equal(clip.frames, again)
    assert [tuple(frame[0, 0].tolist()) for frame in again] == [RED, WHITE, GREEN, RED]
    assert clip.source is not None
    assert clip.source.reading == ("alpha", "icc")
    (remark,) = clip.source.remarks
    assert remark.startswith("an ICC profile that cannot be read is not applied")
    assert remark.endswith("(of 1 frame(s): 4.png)")


def test_an_order_that_version_1_did_not_have_is_told_by_the_reading(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "frames", ["-2.png", "-1.png", "0.png", "1.png"])
    clip = decode_clip(folder, VIDEO)
    assert levels(clip.frames) == [0, 1, 2, 3]
    assert clip.source is not None
    assert clip.source.reading == ("order",)


def test_the_limit_counts_frames_and_not_what_lies_beside(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "frames", [*NAMES, "cover.png"])
    assert probe(folder, VideoLimits(frames=4)).num_frames == 4
    with pytest.raises(SourceError, match="has 4 frames, but the limit is 3: split it"):
        probe(folder, VideoLimits(frames=3))
