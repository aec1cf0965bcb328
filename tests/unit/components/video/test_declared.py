"""Crops that a container or a codec declares; Dolby Vision."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from components.errors import SourceError
from components.video.read import probe, read_frames
from tests.marked_videos import clap, dovi, insert_box, turned
from tests.sample_videos import write_video

WIDTH, HEIGHT = 96, 64
EDGES = (16, 8, 4, 12)
"""Left, top, right, bottom."""


def framed(edges: Sequence[int] = EDGES) -> NDArray[np.uint8]:
    """A picture whose upper half is green and lower half blue, in a red frame of those widths."""
    left, top, right, bottom = edges
    pixels = np.full((HEIGHT, WIDTH, 3), (230, 20, 20), np.uint8)
    middle = (top + HEIGHT - bottom) // 2
    pixels[top:middle, left : WIDTH - right] = (20, 230, 20)
    pixels[middle : HEIGHT - bottom, left : WIDTH - right] = (20, 20, 230)
    return pixels


def aperture(edges: Sequence[int]) -> bytes:
    left, top, right, bottom = edges
    size = ((WIDTH - left - right, 1), (HEIGHT - top - bottom, 1))
    return clap(*size, (left - right, 2), (top - bottom, 2))


def with_clap(path: Path, box: bytes, edges: Sequence[int] = EDGES) -> Path:
    write_video(path, np.stack([framed(edges)] * 3))
    insert_box(path, box)
    return path


def with_pixel_crop(path: Path, edges: Sequence[int]) -> Path:
    """Write Matroska, which PyAV cannot be told to crop."""
    left, top, right, bottom = edges
    source = path.with_name("source.mp4")
    write_video(source, np.stack([framed(edges)] * 3))
    with av.open(str(source)) as read, av.open(str(path), "w", format="matroska") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(video=0):
            if packet.size:
                packet.stream = stream
                written.mux(packet)
    crop = b"".join(
        struct.pack(">HBB", kind, 0x81, pixels)
        for kind, pixels in zip(
            (0x54CC, 0x54BB, 0x54DD, 0x54AA), (left, top, right, bottom), strict=True
        )
    )
    data = bytearray(path.read_bytes())
    # A Void takes the place of the SeekHead, whose positions will not be true any more.
    seek = data.index(b"\x11\x4d\x9b\x74")
    length = 9 - data[seek + 4].bit_length()
    size = int.from_bytes(data[seek + 4 : seek + 4 + length], "big") - (1 << 7 * length)
    data[seek : seek + 9] = b"\xec\x01" + (4 + length + size - 9).to_bytes(7, "big")
    # Segment, Tracks, TrackEntry, Video: each holds the next, and grows.
    at, grown = 0, []
    for kind in (b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae", b"\xe0"):
        while not data.startswith(kind, at):
            size_at = at + 9 - data[at].bit_length()
            length = 9 - data[size_at].bit_length()
            size = int.from_bytes(data[size_at : size_at + length], "big") - (1 << 7 * length)
            at = size_at + length + size
        at += len(kind)
        length = 9 - data[at].bit_length()
        grown.append((at, length))
        at += length
    for place, length in grown:
        value = int.from_bytes(data[place : place + length], "big") + len(crop)
        data[place : place + length] = value.to_bytes(length, "big")
    data[at:at] = crop
    path.write_bytes(data)
    return path


def corners(path: Path) -> tuple[Any, list[str]]:
    """What a source holds, and the colour of each corner of a clip at its own size, clockwise."""
    found = probe(path)
    frame = next(read_frames(path, [1])).scaled(found.width, found.height)
    picked = [frame[1, 1], frame[1, -2], frame[-2, -2], frame[-2, 1]]
    return found, ["RGB"[int(pixel.argmax())] for pixel in picked]


@pytest.mark.parametrize(
    "edges", [(0, 16, 0, 0), (0, 0, 0, 16), (16, 0, 0, 0), EDGES, (3, 5, 2, 1)]
)
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_what_the_container_crops_is_gone(
    tmp_path: Path, suffix: str, edges: tuple[int, ...]
) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".mkv":
        with_pixel_crop(path, edges)
    else:
        with_clap(path, aperture(edges), edges)
    found, colours = corners(path)
    left, top, right, bottom = edges
    assert (found.width, found.height) == (WIDTH - left - right, HEIGHT - top - bottom)
    assert colours == ["G", "G", "B", "B"]
    assert found.reading == ("crop",)


@pytest.mark.parametrize("edges", [(6, 0, 0, 0), (6, 4, 10, 2), (0, 6, 0, 4)])
def test_what_the_codec_crops_is_gone(tmp_path: Path, edges: tuple[int, ...]) -> None:
    """FFmpeg by itself leaves columns at the left where memory is not aligned."""
    path = tmp_path / "a.mp4"
    rectangle = ",".join(map(str, edges))
    with av.open(str(path), "w", format="mp4") as container:
        options = {"crf": "1", "x264-params": f"crop-rect={rectangle}"}
        stream: Any = container.add_stream("libx264", rate=12, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(framed(edges), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    found, colours = corners(path)
    left, top, right, bottom = edges
    assert (found.width, found.height) == (WIDTH - left - right, HEIGHT - top - bottom)
    assert colours == ["G", "G", "B", "B"]
    assert found.reading == (("crop",) if left else ())


@pytest.mark.parametrize(("codec", "crop"), [("libx264", 6), ("libx265", 6)])
def test_what_is_cropped_afterwards_is_gone(tmp_path: Path, codec: str, crop: int) -> None:
    """FFmpeg can write another crop into a stream that is coded already."""
    source, path = tmp_path / "source.mp4", tmp_path / "a.mp4"
    edges = (crop, 0, 0, 0)
    with av.open(str(source), "w", format="mp4") as container:
        stream: Any = container.add_stream(codec, rate=12, options={"crf": "1"})
        stream.options = {"x265-params": "log-level=none:crf=1"} if codec == "libx265" else {}
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(framed(edges), "rgb24")))
        container.mux(stream.encode(None))
    with av.open(str(source)) as read, av.open(str(path), "w", format="mp4") as written:
        plain = read.streams.video[0]
        cropped = written.add_stream_from_template(plain)
        family = {"libx264": "h264", "libx265": "hevc"}[codec]
        marker = BitStreamFilterContext(f"{family}_metadata=crop_left={crop}", plain, cropped)
        for packet in read.demux(plain):
            for out in marker.filter(packet if packet.size else None):
                out.stream = cropped
                written.mux(out)
    found, colours = corners(path)
    assert (found.width, colours) == (WIDTH - crop, ["G", "G", "B", "B"])
    assert found.reading == ("crop",)


def test_a_crop_is_turned_with_its_frame(tmp_path: Path) -> None:
    path = with_clap(tmp_path / "a.mp4", aperture(EDGES))
    turned(path, (0, 0x10000, -0x10000, 0))  # a quarter turn clockwise
    found, colours = corners(path)
    assert (found.width, found.height) == (64 - 8 - 12, 96 - 16 - 4)
    assert colours == ["B", "G", "G", "B"]


@pytest.mark.parametrize("pasp", [None, (1, 1), (2, 1)])
@pytest.mark.parametrize("shown", [(76, 44), (152, 44), (96, 64)])
def test_the_shape_of_pixels_is_that_within_the_crop(
    tmp_path: Path, pasp: Any, shown: tuple[int, int]
) -> None:
    """The track's own size may be that of the whole frame or of what is left of it."""
    path = with_clap(tmp_path / "a.mp4", aperture(EDGES))  # 76×44 are left
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 76
    data[at : at + 8] = struct.pack(">2I", shown[0] << 16, shown[1] << 16)
    path.write_bytes(data)
    if pasp:
        insert_box(path, struct.pack(">I4s2I", 16, b"pasp", *pasp))
    stretched = 2 if pasp == (2, 1) or (pasp is None and shown == (152, 44)) else 1
    found = probe(path)
    assert (found.width, found.height) == (76 * stretched, 44)


def test_a_clean_aperture_of_the_whole_frame_changes_nothing(tmp_path: Path) -> None:
    path = with_clap(tmp_path / "a.mp4", clap((WIDTH, 1), (HEIGHT, 1)))
    found, colours = corners(path)
    assert (found.width, found.height, colours) == (WIDTH, HEIGHT, ["R"] * 4)
    assert found.reading == ()


def test_fractions_are_rounded(tmp_path: Path) -> None:
    path = with_clap(tmp_path / "a.mp4", clap((WIDTH * 54 - 300, 54), (HEIGHT, 1)))
    assert abs(probe(path).width - (WIDTH - 300 / 54)) <= 1


@pytest.mark.parametrize(
    "box",
    [
        clap((WIDTH + 32, 1), (HEIGHT, 1)),
        clap((0, 1), (HEIGHT, 1)),
        clap((WIDTH, 1), (16, 1), (0, 1), (40, 1)),
        clap((WIDTH, 0), (HEIGHT, 1)),
        clap((2**32 - 1, 1), (2**32 - 1, 1), (-(2**31), 1), (2**31 - 1, 1)),
    ],
)
def test_a_crop_that_leaves_the_frame_is_refused(tmp_path: Path, box: bytes) -> None:
    path = with_clap(tmp_path / "a.mp4", box)
    with pytest.raises(SourceError, match=r"a\.mp4 is to be cropped by .*re-encode it"):
        probe(path)


def test_a_matroska_crop_of_everything_is_refused(tmp_path: Path) -> None:
    path = with_pixel_crop(tmp_path / "a.mkv", (90, 0, 6, 0))
    with pytest.raises(SourceError, match=r"a\.mkv .*damaged"):  # as FFmpeg says
        probe(path)


@pytest.mark.parametrize(("profile", "compatible"), [(5, 0), (10, 0), (20, 0)])
def test_dolby_vision_of_its_own_colours_is_refused(
    tmp_path: Path, profile: int, compatible: int
) -> None:
    path = with_clap(tmp_path / "a.mp4", dovi(profile, compatible))
    with pytest.raises(SourceError, match=rf"a\.mp4 is Dolby Vision of profile {profile}.* export"):
        probe(path)


@pytest.mark.parametrize(("profile", "compatible"), [(7, 6), (8, 1), (8, 4), (10, 1), (9, 2)])
def test_dolby_vision_on_another_base_is_read(
    tmp_path: Path, profile: int, compatible: int
) -> None:
    path = with_clap(tmp_path / "a.mp4", dovi(profile, compatible))
    assert probe(path).reading == ()


@given(data=st.data())
def test_damaged_indices_never_escape_as_another_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    if data.draw(st.booleans()):
        path = with_clap(folder / "a.mp4", aperture(EDGES))
    else:
        path = with_pixel_crop(folder / "a.mkv", EDGES)
    content = bytearray(path.read_bytes())
    heart = content.find(b"clap") if path.suffix == ".mp4" else content.find(b"\x54\xcc")
    for _ in range(data.draw(st.integers(1, 6))):
        content[heart + data.draw(st.integers(-60, 40))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(SourceError, MemoryError):
        probe(path)
