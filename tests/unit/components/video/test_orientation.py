"""All eight orientations, as containers and codecs tell them."""

from __future__ import annotations

import gc
import io
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from numpy.typing import NDArray
from PIL import ExifTags, Image

from components.config import VideoConfig
from components.errors import SourceError
from components.video.io import decode_clip, probe
from tests.marked_videos import turned
from tests.sample_videos import write_video

CORNERS = np.array([[[250, 0, 0], [0, 250, 0]], [[0, 0, 250], [250, 250, 250]]], np.uint8)
"""Red and green above blue and white."""
PICTURE = CORNERS.repeat(32, 0).repeat(48, 1)  # 96×64
UNIT = 0x10000


def with_matrix(path: Path, matrix: Sequence[int]) -> Path:
    """Write PICTURE as mp4 whose track header holds the 2×2 part of a matrix, in 16.16."""
    return turned(write_video(path, np.stack([PICTURE] * 3)), matrix)


def shown(path: Path) -> NDArray[np.uint8]:
    """The corners' colours of a clip's last frame, (2, 2, 3)."""
    found = probe(path)
    video = VideoConfig(num_frames=3, width=found.width, height=found.height)
    frame = decode_clip(path, video).frames[-1]
    rows, columns = np.array([found.height, found.width]) // 4
    picked: NDArray[np.uint8] = frame[rows :: 2 * rows, columns :: 2 * columns]
    return picked


def expected(matrix: Sequence[int]) -> NDArray[np.uint8]:
    """Where the specification puts each corner: (x, y) goes to (ax + cy, bx + dy)."""
    a, b, c, d = np.sign(matrix)
    out = np.zeros_like(CORNERS)
    for x, y in itertools.product((-1, 1), repeat=2):
        to_x, to_y = a * x + c * y, b * x + d * y
        out[(to_y + 1) // 2, (to_x + 1) // 2] = CORNERS[(y + 1) // 2, (x + 1) // 2]
    return out


SQUARE = [(s, 0, 0, t) for s in (UNIT, -UNIT) for t in (UNIT, -UNIT)]
CROSSED = [(0, s, t, 0) for s in (UNIT, -UNIT) for t in (UNIT, -UNIT)]


@pytest.mark.parametrize("matrix", SQUARE + CROSSED)
def test_the_whole_display_matrix_counts(tmp_path: Path, matrix: tuple[int, ...]) -> None:
    path = with_matrix(tmp_path / "a.mp4", matrix)
    found = probe(path)
    assert (found.width, found.height) == ((96, 64) if matrix in SQUARE else (64, 96))
    assert np.abs(shown(path).astype(int) - expected(matrix)).max() < 30
    a, b, c, d = matrix
    assert found.reading == (() if a * d - b * c > 0 else ("flip",)), "turns were read before"


EXIF = {1: SQUARE[0], 2: SQUARE[2], 3: SQUARE[3], 4: SQUARE[1]} | {
    5: CROSSED[0],
    6: CROSSED[1],
    7: CROSSED[3],
    8: CROSSED[2],
}


@pytest.mark.parametrize("orientation", EXIF)
def test_exif_in_motion_jpeg_counts(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    encoded = io.BytesIO()
    Image.fromarray(PICTURE).save(encoded, "JPEG", exif=exif, quality=95)
    path = tmp_path / "a.mov"
    with av.open(str(path), "w", format="mov") as container:
        stream = container.add_stream("mjpeg", rate=12)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p"
        stream.encode(av.VideoFrame(96, 64, "yuvj420p"))  # opens it
        for index in range(3):
            packet = av.Packet(encoded.getvalue())
            packet.stream, packet.pts, packet.dts = stream, index, index
            packet.time_base = stream.codec_context.time_base
            container.mux(packet)
    assert np.abs(shown(path).astype(int) - expected(EXIF[orientation])).max() < 30
    assert probe(path).reading == (("flip",) if orientation in (2, 4, 5, 7) else ())


@pytest.mark.parametrize("degrees", [0.5, 90.5, 179.5, -90.4])
def test_rounded_angles_are_quarter_turns(tmp_path: Path, degrees: float) -> None:
    cos, sin = (round(f(math.radians(degrees)) * UNIT) for f in (math.cos, math.sin))
    path = with_matrix(tmp_path / "a.mp4", (cos, sin, -sin, cos))
    turns = round(degrees / 90) * 90
    straight = [round(f(math.radians(turns))) for f in (math.cos, math.sin)]
    matrix = (straight[0], straight[1], -straight[1], straight[0])
    assert np.abs(shown(path).astype(int) - expected(matrix)).max() < 30


@pytest.mark.parametrize("degrees", [5, 45, 100])
def test_other_angles_are_refused(tmp_path: Path, degrees: int) -> None:
    cos, sin = (round(f(math.radians(degrees)) * UNIT) for f in (math.cos, math.sin))
    path = with_matrix(tmp_path / "a.mp4", (cos, sin, -sin, cos))
    with pytest.raises(SourceError, match=rf"a\.mp4 is to be shown turned by {degrees} degrees"):
        probe(path)


def test_a_sheared_picture_is_refused(tmp_path: Path) -> None:
    path = with_matrix(tmp_path / "a.mp4", (UNIT, UNIT // 2, 0, UNIT))
    with pytest.raises(SourceError, match="sheared"):
        probe(path)


def test_a_matrix_of_zeros_turns_nothing(tmp_path: Path) -> None:
    path = with_matrix(tmp_path / "a.mp4", (0, 0, 0, 0))
    assert np.abs(shown(path).astype(int) - CORNERS).max() < 30


@pytest.mark.parametrize(
    ("message", "matrix"),
    [
        ("flip=horizontal", (-1, 0, 0, 1)),
        ("flip=vertical", (1, 0, 0, -1)),
        ("rotate=90", (0, -1, 1, 0)),
        ("rotate=90:flip=horizontal", (0, 1, 1, 0)),
    ],
)
def test_orientation_told_by_the_codec_holds_for_all_frames(
    tmp_path: Path, message: str, matrix: tuple[int, ...]
) -> None:
    """Only the first frame of a sequence carries the message."""
    source = tmp_path / "source.mp4"
    write_video(source, np.stack([PICTURE] * 3))
    path = tmp_path / "a.mp4"
    with av.open(str(source)) as read, av.open(str(path), "w", format="mp4") as written:
        plain = read.streams.video[0]
        marked = written.add_stream_from_template(plain)
        marker = BitStreamFilterContext(
            f"h264_metadata=display_orientation=insert:{message}", plain, marked
        )
        for packet in read.demux(plain):
            for out in marker.filter(packet if packet.size else None):
                out.stream = marked
                written.mux(out)
    assert np.abs(shown(path).astype(int) - expected(matrix)).max() < 30
    assert probe(path).reading == ("flip",)


def test_frames_are_let_go_at_once(tmp_path: Path) -> None:
    """They may have 100 MB each: none may wait for the garbage collection."""

    def alive() -> int:
        return sum(type(thing) is av.VideoFrame for thing in gc.get_objects())

    path = write_video(tmp_path / "a.mp4", 24)
    gc.collect()
    before = alive()
    gc.disable()
    try:
        probe(path)
        assert alive() - before < 4
    finally:
        gc.enable()
