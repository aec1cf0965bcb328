"""Videos of every kind to clips and back."""

from __future__ import annotations

import itertools
import json
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from components.config import VideoConfig
from components.errors import SourceError
from components.video.io import (
    decode_clip,
    decode_frames,
    encode_mp4,
    probe,
    read_mp4_frames,
    write_png_frames,
)
from components.video.selection import select_frames
from tests.sample_videos import levels, write_folder, write_video

SHARED = Path(__file__).parents[5] / "shared"
SMALL: dict[str, Any] = {"num_frames": 4, "width": 32, "height": 24}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm", ".gif", ".MP4"])
def test_every_container_gives_the_frames_asked_for(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"a clip{suffix}", 12, fps=12)
    clip = decode_clip(path, VideoConfig(selection="stride", start=1, stride=3, **SMALL))
    assert clip.frames.shape == (4, 24, 32, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.frame_indices == (1, 4, 7, 10)
    assert levels(clip.frames) == [1, 4, 7, 10]
    assert clip.fps == pytest.approx(12, rel=0.05)  # gif counts hundredths of a second
    assert clip.source is not None
    assert (clip.source.num_frames, clip.source.width, clip.source.height) == (12, 64, 48)


def test_uniform_frames_are_the_floors_of_even_steps(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 11)
    clip = decode_clip(path, VideoConfig(start=1, **SMALL))
    assert clip.frame_indices == (1, 3, 6, 8)  # 1 + floor(i * 10 / 4)
    assert levels(clip.frames) == [1, 3, 6, 8]


@given(count=st.integers(1, 64), start=st.integers(0, 50), extra=st.integers(0, 500))
def test_uniform_indices_spread_over_all_that_is_there(count: int, start: int, extra: int) -> None:
    available = start + count + extra
    video = VideoConfig(num_frames=count, start=start)
    indices = select_frames(available, video, "a.mp4")
    steps = {b - a for a, b in itertools.pairwise(indices)}
    assert indices[0] == start
    assert len(indices) == count
    assert max(steps, default=1) - min(steps, default=1) <= 1
    assert min(steps, default=1) >= 1
    assert available - indices[-1] <= -(-(available - start) // count)
    expected = np.linspace(0, available - start, count, endpoint=False)
    assert np.all(np.abs(np.array(indices) - start - expected) < 1)


@pytest.mark.parametrize(
    ("available", "settings_", "needed"),
    [
        (7, {"num_frames": 8}, 8),
        (9, {"num_frames": 8, "start": 2}, 10),
        (14, {"num_frames": 8, "selection": "stride", "stride": 2}, 15),
    ],
)
def test_too_few_frames_are_refused(available: int, settings_: Any, needed: int) -> None:
    video = VideoConfig(**settings_)
    with pytest.raises(SourceError, match=rf"v\.mp4 has {available} frames, but {needed}.*lower"):
        select_frames(available, video, "v.mp4")
    assert len(select_frames(needed, video, "v.mp4")) == 8


def test_frames_of_a_folder_are_in_natural_order(tmp_path: Path) -> None:
    names = ["f1.jpg", "f2.jpeg", "f3.jpg", "f10.JPG", "F11.jpeg"]
    folder = write_folder(tmp_path / "frames v1.0", names)
    (folder / "notes.txt").write_text("not a frame")
    (folder / ".f0.png").write_bytes(b"hidden")
    clip = decode_clip(folder, VideoConfig(num_frames=5, width=32, height=24))
    assert levels(clip.frames) == [0, 1, 2, 3, 4]
    assert clip.fps == 24


def test_crop_pad_and_stretch(tmp_path: Path) -> None:
    """A red square in the middle of a blue 96×48 frame shows what became of the shape."""
    frame = np.zeros((48, 96, 3), np.uint8)
    frame[..., 2] = 255
    frame[:, 24:72] = (255, 0, 0)
    path = write_video(tmp_path / "a.mp4", np.stack([frame] * 2))

    def middle_row(fit: Any) -> tuple[str, bool]:
        clip = decode_frames(path, [1], VideoConfig(width=48, height=48, fit=fit))[0]
        colours = "".join("RGB"[int(p.argmax())] if p.max() > 99 else "-" for p in clip[24, 2::4])
        return colours, bool(clip[2, 24].max() > 99)

    assert middle_row("crop") == ("R" * 12, True)
    assert middle_row("stretch") == ("BBBRRRRRRBBB", True)
    assert middle_row("pad") == ("BBBRRRRRRBBB", False)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_odd_source_sizes_are_fine(tmp_path: Path, fit: Any) -> None:
    folder = write_folder(tmp_path / "f", ["1.png", "2.png"], size=(33, 7))
    video = VideoConfig(num_frames=2, width=24, height=40, fit=fit)
    assert decode_clip(folder, video).frames.shape == (2, 40, 24, 3)


def test_a_rotated_video_is_shown_upright(tmp_path: Path) -> None:
    frame = np.zeros((48, 96, 3), np.uint8)
    frame[:, :48] = 255  # left half white
    path = write_video(tmp_path / "a.mp4", np.stack([frame] * 3))
    data = path.read_bytes()
    at = data.index(b"tkhd") + 4 + 40
    turned = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)
    path.write_bytes(data[:at] + turned + data[at + 36 :])  # a quarter turn clockwise
    assert probe(path).width == 48
    clip = decode_clip(path, VideoConfig(num_frames=1, width=24, height=48)).frames[0]
    assert clip[:20].min() > 200  # left has become top
    assert clip[28:].max() < 50


def test_a_variable_rate_counts_as_its_mean(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 5, fps=10, times=[0, 1, 2, 10, 20])
    found = probe(path)
    assert found.num_frames == 5
    assert found.fps == pytest.approx(4 / 2.0, rel=0.1)  # 5 frames in 2 seconds and a bit


def test_titles_need_not_be_utf8(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 4)
    path.write_bytes(path.read_bytes().replace(b"VideoHandler", b"Vid\xe9oHandler"))
    assert probe(path).num_frames == 4


def test_an_unknown_codec_is_named_as_such(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 4)
    path.write_bytes(path.read_bytes().replace(b"avc1\0\0\0\0", b"zzzz\0\0\0\0"))
    with pytest.raises(SourceError, match=r"a\.mp4 has a codec that FFmpeg does not know"):
        probe(path)


def test_pixels_equal_the_official_dataset() -> None:
    """The official code reads with decord, which scales with swscale BILINEAR as PyAV can."""
    meta = SHARED / "golden" / "open" / "meta.json"
    if not meta.exists():
        pytest.skip("the golden data (../shared/golden) is not here")
    from safetensors.numpy import load_file

    dataset = json.loads(meta.read_text())["dataset"]
    golden = load_file(meta.with_name("pipeline.safetensors"))["dataset.pixel_values"]
    clip = decode_clip(
        SHARED / "videos" / f"{dataset['video']}.mp4",
        VideoConfig(
            num_frames=dataset["n_sample_frames"],
            selection="stride",
            start=dataset["sample_start_idx"],
            stride=dataset["sample_frame_rate"],
            width=dataset["width"],
            height=dataset["height"],
            fit="stretch",
        ),
    )
    difference = np.abs(clip.frames.transpose(0, 3, 1, 2) - (golden + 1) * 127.5)
    assert difference.mean() < 0.08
    assert difference.max() < 6


def test_mp4_files_play_everywhere_and_are_deterministic(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, 48, 64, 3)).astype(np.uint8)
    first, second = tmp_path / "1.mp4", tmp_path / "2.mp4"
    for path in (first, second):
        encode_mp4(path, frames, fps=30000 / 1001, crf=12)
    data = first.read_bytes()
    assert data == second.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "the index comes first"
    with av.open(str(first)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == Fraction(30000, 1001)
        assert len(list(container.decode(stream))) == 5


@pytest.mark.parametrize(
    "fps", [1e-4, 1 / 3600, 0.05, 0.3, 0.999, 2.4, 24 * 24 / 239, 30000 / 1001, 1500, 1e4]
)
def test_any_rate_is_written_and_changes_no_picture(tmp_path: Path, fps: float) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, 48, 64, 3)).astype(np.uint8)
    usual, path = tmp_path / "usual.mp4", tmp_path / "a.mp4"
    encode_mp4(usual, frames, fps=24, crf=20)
    encode_mp4(path, frames, fps=fps, crf=20, coded_fps=24)
    assert np.array_equal(read_mp4_frames(path), read_mp4_frames(usual))
    with av.open(str(path)) as container:
        stream: Any = container.streams.video[0]
        times = [float(frame.time or 0) for frame in container.decode(stream)]
        assert times == pytest.approx([i / fps for i in range(5)], rel=1e-5)
        assert float(stream.duration * stream.time_base) == pytest.approx(5 / fps, rel=1e-5)
        assert float(stream.average_rate) == pytest.approx(fps, rel=1e-5)


@pytest.mark.parametrize("seed", [10, 13])  # of these x264's mbtree made several files
def test_equal_frames_give_equal_bytes_whatever_memory_holds(tmp_path: Path, seed: int) -> None:
    path, rng = tmp_path / "a.mp4", np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    frames = coarse + rng.integers(0, 9, coarse.shape, dtype=np.uint8)
    found: set[bytes] = set()
    left: list[bytes] = []
    for _ in range(40):
        left = [*left[-4:], rng.bytes(int(rng.integers(1, 200_000)))]
        encode_mp4(path, frames, fps=8, crf=12)
        found.add(path.read_bytes())
        read_mp4_frames(path)
    assert len(found) == 1


def test_colours_survive_mp4(tmp_path: Path) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (9, 120, 200), (0, 0, 0)]
    frames = np.stack([np.full((16, 24, 3), colour, np.uint8) for colour in colours])
    encode_mp4(tmp_path / "a.mp4", frames, fps=8, crf=1)
    back = read_mp4_frames(tmp_path / "a.mp4")
    assert back.shape == frames.shape
    assert np.abs(back.astype(int) - frames).max() <= 3


@pytest.mark.parametrize(
    ("frames", "fps", "message"),
    [
        (np.zeros((2, 9, 8, 3), np.uint8), 8, "8×9"),
        (np.zeros((2, 8, 8, 3), np.float32), 8, "float32"),
        (np.zeros((0, 8, 8, 3), np.uint8), 8, "F ≥ 1"),
        (np.zeros((8, 8, 3), np.uint8), 8, "uint8"),
        (np.zeros((2, 8, 8, 3), np.uint8), 0, "fps is 0"),
        (np.zeros((2, 8, 8, 3), np.uint8), 2e4, "fps is 20000"),
        (np.zeros((2, 8, 8, 3), np.uint8), float("nan"), "fps is nan"),
    ],
)
def test_what_no_mp4_can_hold_is_refused(
    tmp_path: Path, frames: Any, fps: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        encode_mp4(tmp_path / "a.mp4", frames, fps=fps, crf=12)


def test_png_frames_are_lossless(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 16, 3)).astype(np.uint8)
    files = write_png_frames(tmp_path / "new" / "folder", frames)
    assert [file.name for file in files] == ["00000.png", "00001.png", "00002.png"]
    assert all(
        np.array_equal(np.asarray(Image.open(f)), frame)
        for f, frame in zip(files, frames, strict=True)
    )
