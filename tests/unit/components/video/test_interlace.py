"""Interlaced frames become frames of one moment; progressive ones are left alone."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.filter import Graph
from numpy.typing import NDArray

from components.config import VideoConfig
from components.errors import SourceError
from components.video.io import decode_clip, decode_frames, probe
from tests.sample_videos import write_video

HEIGHT, WIDTH, COUNT = 64, 96, 8
INTERLACED_DCT, GLOBAL_HEADER = 1 << 18, 1 << 22
"""FFmpeg's flags of encoders."""


def at(time: int) -> NDArray[np.uint8]:
    """A bright bar that moves by four pixels a field."""
    picture = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    picture[:, 4 * time : 4 * time + 16] = 220
    return picture


def woven(index: int, *, top_first: bool = True) -> NDArray[np.uint8]:
    """Rows of moment 2i and of moment 2i + 1."""
    first, second = at(2 * index), at(2 * index + 1)
    rows = slice(int(top_first), None, 2)
    first[rows] = second[rows]
    return first


def comb(picture: NDArray[np.uint8]) -> float:
    """Mean difference between neighbouring rows: none in all pictures of one moment."""
    return float(np.abs(np.diff(picture.astype(int), axis=0)).mean())


def marked(pixels: NDArray[np.uint8], mode: str, pix_fmt: str, index: int) -> av.VideoFrame:
    """A frame that says which field is first, or that it is progressive."""
    graph = Graph()
    source = graph.add("buffer", f"video_size={WIDTH}x{HEIGHT}:pix_fmt={pix_fmt}:time_base=1/25")
    graph.link_nodes(source, graph.add("setfield", mode), graph.add("buffersink")).configure()
    frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=pix_fmt)
    frame.pts, frame.time_base = index, Fraction(1, 25)
    graph.push(frame)
    return graph.vpull()


def write_fields(
    path: Path, muxer: str, codec: str, pix_fmt: str, options: dict[str, str], *, top_first: bool
) -> Path:
    """Write woven pictures that are marked as such."""
    with av.open(str(path), "w", format=muxer) as container:
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pix_fmt
        if codec not in ("ffv1", "libx265"):
            stream.codec_context.flags |= INTERLACED_DCT
        stream.codec_context.field_order = 2 if top_first else 3
        for index in range(COUNT):
            pixels = woven(index, top_first=top_first)
            mode = "tff" if top_first else "bff"
            container.mux(stream.encode(marked(pixels, mode, pix_fmt, index)))
        container.mux(stream.encode(None))
    return path


def read_all(path: Path) -> NDArray[np.uint8]:
    return decode_clip(path, VideoConfig(num_frames=COUNT, width=WIDTH, height=HEIGHT)).frames


KINDS: dict[str, Any] = {
    "h264": ("a.mp4", "mp4", "libx264", "yuv420p", {"crf": "1"}),
    "mpeg2": ("a.ts", "mpegts", "mpeg2video", "yuv420p", {"qscale": "2"}),
    "prores": ("a.mov", "mov", "prores_ks", "yuv422p10le", {}),
    "raw": ("a.mov", "mov", "rawvideo", "uyvy422", {}),
    "v210": ("a.mov", "mov", "v210", "yuv422p10le", {}),
    "ffv1": ("a.mkv", "matroska", "ffv1", "yuv420p", {}),
}


@pytest.mark.parametrize("first", ["top", "bottom"])
@pytest.mark.parametrize("kind", KINDS)
def test_interlaced_frames_are_of_one_moment(tmp_path: Path, kind: str, first: str) -> None:
    name, *how = KINDS[kind]
    path = write_fields(tmp_path / name, *how, top_first=first == "top")
    assert probe(path).reading == ("deinterlace",)
    frames = read_all(path)
    assert len(frames) == COUNT
    for index, frame in enumerate(frames):
        assert comb(frame) < 2, "15 where the fields are left woven"
        if 0 < index < COUNT - 1:  # the filter sees both neighbours
            assert np.abs(frame.astype(int) - at(2 * index)).mean() < 4, "the first field's moment"


@pytest.mark.parametrize("kind", ["h264", "ffv1"])
def test_each_frame_is_the_same_whatever_else_is_read(tmp_path: Path, kind: str) -> None:
    name, *how = KINDS[kind]
    path = write_fields(tmp_path / name, *how, top_first=True)
    frames = read_all(path)
    size: Any = {"width": WIDTH, "height": HEIGHT}
    for _ in range(8):
        indices = sorted(random.sample(range(COUNT), random.randint(1, COUNT)))
        assert np.array_equal(decode_frames(path, indices, VideoConfig(**size)), frames[indices])


def write_mixed(path: Path) -> Path:
    """Two progressive frames, three interlaced ones, two progressive ones, in one H.264 stream."""
    parts = (("prog", 0, 2), ("tff", 2, 5), ("prog", 5, 7))
    with av.open(str(path), "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.flags &= ~GLOBAL_HEADER  # each part brings its own
        for mode, first, last in parts:
            encoder: Any = stream.codec_context
            if first:
                encoder = av.CodecContext.create("libx264", "w")
                encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
                encoder.time_base = Fraction(1, 25)
            encoder.options = {"crf": "1", "bf": "0"}
            encoder.flags |= INTERLACED_DCT if mode == "tff" else 0
            for index in [*range(first, last), None]:
                frame = None
                if index is not None:
                    pixels = woven(index) if mode == "tff" else at(2 * index)
                    frame = marked(pixels, mode, "yuv420p", index)
                for packet in encoder.encode(frame):
                    packet.stream = stream
                    container.mux(packet)
    return path


def test_of_mixed_content_only_the_interlaced_frames_change(tmp_path: Path) -> None:
    path = write_mixed(tmp_path / "a.mp4")
    with av.open(str(path)) as container:
        decoded = list(container.decode(video=0))
    assert [frame.interlaced_frame for frame in decoded] == [i in (2, 3, 4) for i in range(7)]
    clip = decode_clip(path, VideoConfig(num_frames=7, width=WIDTH, height=HEIGHT))
    for index, frame in enumerate(clip.frames):
        assert comb(frame) < 2
        if not decoded[index].interlaced_frame:
            plain = decoded[index].reformat(format="rgb24", interpolation="BILINEAR", threads=1)
            assert np.array_equal(frame, plain.to_ndarray()), "bit for bit"
    assert probe(path).reading == ("deinterlace",)


@pytest.mark.parametrize("count", [1, 2])
def test_few_frames_stay_as_many(tmp_path: Path, count: int) -> None:
    name, *how = KINDS["h264"]
    path = write_fields(tmp_path / name, *how, top_first=True)
    frames = decode_frames(path, range(count), VideoConfig(width=WIDTH, height=HEIGHT))
    assert [comb(frame) < 2 for frame in frames] == [True] * count
    last = decode_frames(path, [COUNT - 1], VideoConfig(width=WIDTH, height=HEIGHT))
    assert comb(last[0]) < 2


def test_progressive_videos_are_read_as_ever(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", np.stack([at(i) for i in range(6)]))
    assert probe(path).reading == ()
    clip = decode_clip(path, VideoConfig(num_frames=6, width=WIDTH, height=HEIGHT))
    with av.open(str(path)) as container:
        for frame, read in zip(container.decode(video=0), clip.frames, strict=True):
            plain = frame.reformat(format="rgb24", interpolation="BILINEAR", threads=1)
            assert np.array_equal(plain.to_ndarray(), read)


def test_hevc_codes_fields_as_frames_and_is_refused(tmp_path: Path) -> None:
    options = {"x265-params": "interlace=tff:log-level=none"}
    how: Any = ("mp4", "libx265", "yuv420p", options)
    path = write_fields(tmp_path / "a.mp4", *how, top_first=True)
    with pytest.raises(SourceError, match=r"a\.mp4 is interlaced HEVC.* deinterlace"):
        probe(path)
