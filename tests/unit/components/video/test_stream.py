"""Which of several video streams is the video."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from components.config import VideoConfig
from components.errors import SourceError
from components.video.io import decode_clip, probe
from tests.sample_videos import grey_frames, levels, write_streams, write_video

DEFAULT, COVER = Disposition.default, Disposition.attached_pic
SMALL = VideoConfig(num_frames=4, width=32, height=24)
KINDS = [("a.mp4", "mp4"), ("a.mov", "mov"), ("a.mkv", "matroska")]


def moving(width: int, height: int, disposition: int = 0) -> dict[str, Any]:
    return {"frames": grey_frames(6, width, height), "disposition": disposition}


def still(disposition: int = 0, width: int = 320, height: int = 240) -> dict[str, Any]:
    frames = np.full((1, height, width, 3), 250, np.uint8)
    return {"frames": frames, "codec": "mjpeg", "pix_fmt": "yuvj420p", "disposition": disposition}


@pytest.mark.parametrize(("name", "muxer"), KINDS)
@pytest.mark.parametrize(
    ("streams", "width", "reading"),
    [
        ([moving(64, 48), moving(32, 24, DEFAULT)], 32, ("stream",)),
        ([moving(32, 24, DEFAULT), moving(64, 48)], 32, ()),
        ([moving(16, 16), moving(64, 48), moving(32, 24, DEFAULT)], 32, ("stream",)),
        ([still(COVER), moving(64, 48, DEFAULT)], 64, None),
        ([still(), moving(64, 48)], 64, None),
        ([still(DEFAULT), moving(64, 48)], 64, None),
        ([moving(64, 48), still(DEFAULT)], 64, ()),
        ([moving(64, 48), still(DEFAULT), moving(32, 24, DEFAULT)], 32, ("stream",)),
    ],
)
def test_the_default_moving_stream_is_the_video(
    tmp_path: Path, name: str, muxer: str, streams: Any, width: int, reading: Any
) -> None:
    path = write_streams(tmp_path / name, muxer, streams)
    found = probe(path)
    assert (found.num_frames, found.width) == (6, width)
    if reading is not None:  # a muxer may put the cover last
        assert found.reading == reading
    assert levels(decode_clip(path, SMALL).frames) == [0, 1, 3, 4]


def test_without_defaults_or_with_several_ffmpeg_decides(tmp_path: Path) -> None:
    for flag in (Disposition(0), DEFAULT):
        streams = [moving(32, 24, flag), moving(64, 48, flag), moving(48, 32, flag)]
        path = write_streams(tmp_path / "a.mkv", "matroska", streams)
        with av.open(str(path)) as container:
            best = container.streams.best("video")
            assert best is not None
            assert probe(path).width == best.codec_context.width  # type: ignore[attr-defined]


def test_nothing_but_covers_is_refused(tmp_path: Path) -> None:
    path = write_streams(tmp_path / "a.mp4", "mp4", [still(COVER)])
    with pytest.raises(SourceError, match=r"a\.mp4 holds 1 cover pictures .* leave it out"):
        probe(path)


def attach_cover(path: Path, source: Path) -> Path:
    """Write a Matroska file with a picture attached, as downloads have it."""
    with av.open(str(path), "w", format="matroska") as written, av.open(str(source)) as read:
        copied = written.add_stream_from_template(read.streams.video[0])
        buffer = io.BytesIO()
        Image.new("RGB", (320, 240), "red").save(buffer, "PNG")
        written.add_attachment("cover.png", "image/png", buffer.getvalue())
        for packet in read.demux(video=0):
            if packet.size:
                packet.stream = copied
                written.mux(packet)
    return path


def test_attached_pictures_are_covers(tmp_path: Path) -> None:
    video = attach_cover(tmp_path / "a.mkv", write_video(tmp_path / "a.mp4", 6))
    with av.open(str(video)) as container:
        assert len(container.streams.video) == 2
    assert (probe(video).num_frames, probe(video).width) == (6, 64)


def test_one_picture_alone_is_a_short_video_and_no_cover(tmp_path: Path) -> None:
    assert probe(write_video(tmp_path / "a.mp4", 1)).num_frames == 1
