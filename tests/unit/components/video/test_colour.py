"""Known colours, coded in every way, are the colours that come out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config import VideoConfig
from components.errors import SourceError
from components.video.colour import opaque_sdr
from components.video.display import SourceFrame
from components.video.io import decode_clip, probe
from components.video.read import Probe

WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114)} | {
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
"""Matrix (ITU-T H.273) → what red and blue weigh in luma."""
BT709, UNTAGGED, BT601, BT2020 = 1, 2, 6, 9
PQ, HLG = 16, 18
RED = (200, 50, 50)
COLOURS = [RED, (50, 200, 50), (50, 50, 200), (180, 180, 40), (128, 128, 128)]


def coded(
    signal: Any, matrix: int, size: tuple[int, int], pix_fmt: str = "yuv420p", *, full: bool = False
) -> av.VideoFrame:
    """A frame of one colour, given as R'G'B' from 0 to 1 and coded by hand."""
    red, green, blue = signal
    kr, kb = WEIGHTS[matrix]
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    planes = (luma, (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr))
    bits = 10 if "10" in pix_fmt else 8
    scale = 2.0 ** (bits - 8)
    frame = av.VideoFrame(*size, pix_fmt)
    for place, (plane, value) in enumerate(zip(frame.planes, planes, strict=False)):
        if full:
            level = value * (2**bits - 1) + (2 ** (bits - 1) if place else 0)
        else:
            level = (value * (224 if place else 219) + (128 if place else 16)) * scale
        dtype = np.dtype("<u2" if bits > 8 else "u1")
        plane.update(np.full(plane.buffer_size // dtype.itemsize, round(level), dtype).tobytes())
    return frame


def write_colour(
    path: Path,
    signal: Any,
    matrix: int = BT601,
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    **tags: int,
) -> Path:
    """Write three frames of one colour, losslessly.

    Args:
        path: The file.
        signal: R'G'B' from 0 to 1.
        matrix: Which codes it (ITU-T H.273).
        size: Width and height.
        codec: The encoder.
        pix_fmt: FFmpeg's pixel format.
        tags: ``told``, where it is another matrix, ``full`` range, ``curve`` and ``primaries``.
    """
    options = {
        "libx264": {"crf": "0", "preset": "ultrafast"},
        "libx265": {"x265-params": "lossless=1:log-level=none"},
    }
    full = bool(tags.get("full"))
    muxer = {".mp4": "mp4", ".mkv": "matroska"}[path.suffix]
    with av.open(str(path), "w", format=muxer) as container:
        stream: Any = container.add_stream(codec, rate=12, options=options.get(codec, {}))
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        context = stream.codec_context
        context.colorspace = tags.get("told", matrix)
        context.color_trc = tags.get("curve", UNTAGGED)
        context.color_primaries = tags.get("primaries", UNTAGGED)
        context.color_range = 2 if full else 1
        for _ in range(3):
            container.mux(stream.encode(coded(signal, matrix, size, pix_fmt, full=full)))
        container.mux(stream.encode(None))
    return path


def read(path: Path) -> tuple[tuple[int, ...], Probe]:
    """The colour of a clip's middle, and what the source holds."""
    clip = decode_clip(path, VideoConfig(num_frames=2, width=64, height=48))
    assert clip.source == probe(path)
    assert clip.source is not None
    return tuple(map(int, clip.frames[1, 24, 32])), clip.source


def close(found: tuple[int, ...], wanted: Any, within: int) -> bool:
    return bool(np.abs(np.array(found) - np.array(wanted)).max() <= within)


@pytest.mark.parametrize(
    ("size", "matrix", "reading"),
    [
        ((1280, 720), BT709, ("bt709",)),
        ((720, 1280), BT709, ("bt709",)),
        ((1280, 534), BT709, ("bt709",)),
        ((1920, 1080), BT709, ("bt709",)),
        ((720, 576), BT601, ()),
        ((854, 480), BT601, ()),
        ((64, 48), BT601, ()),
    ],
)
def test_untagged_frames_are_bt709_where_they_are_large(
    tmp_path: Path, size: tuple[int, int], matrix: int, reading: Any
) -> None:
    signal = np.array(RED) / 255
    found, source = read(write_colour(tmp_path / "a.mp4", signal, matrix, size, told=UNTAGGED))
    assert close(found, RED, 3), found
    assert source.reading == reading


@pytest.mark.parametrize("size", [(64, 48), (160, 720)])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", WEIGHTS)
def test_tags_are_exact_at_any_size(
    tmp_path: Path, matrix: int, full: Any, size: tuple[int, int]
) -> None:
    signal = np.array(RED) / 255
    found, source = read(write_colour(tmp_path / "a.mp4", signal, matrix, size, full=full))
    assert close(found, RED, 3), found
    assert source.reading == ()


@pytest.mark.parametrize("codec", ["ffv1", "libx264"])
@pytest.mark.parametrize(
    "pix_fmt", ["yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"]
)
def test_depth_and_chroma_of_every_kind(tmp_path: Path, codec: str, pix_fmt: str) -> None:
    signal = np.array(RED) / 255
    path = tmp_path / ("a.mkv" if codec == "ffv1" else "a.mp4")
    found, source = read(write_colour(path, signal, BT709, pix_fmt=pix_fmt, codec=codec))
    assert close(found, RED, 3), found
    assert source.reading == ()


@pytest.mark.parametrize("level", [0, 60, 128, 255])
@pytest.mark.parametrize(("codec", "pix_fmt"), [("ffv1", "gray"), ("ffv1", "gray10le")])
@pytest.mark.parametrize("full", [False, True])
def test_grey_without_chroma_has_a_range_too(
    tmp_path: Path, level: int, codec: str, pix_fmt: str, full: Any
) -> None:
    signal = np.full(3, level / 255)
    path = write_colour(tmp_path / "a.mkv", signal, pix_fmt=pix_fmt, codec=codec, full=full)
    found, source = read(path)
    assert close(found, [level] * 3, 2), found
    assert source.reading == (() if full else ("grey",))


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix"),
    [("png", "rgb24", "mov"), ("qtrle", "rgb24", "mov"), ("libx264rgb", "rgb24", "mp4")],
)
@pytest.mark.parametrize("size", [(64, 48), (160, 720)])
def test_rgb_is_rgb(
    tmp_path: Path, codec: str, pix_fmt: str, suffix: str, size: tuple[int, int]
) -> None:
    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w", format=suffix) as container:
        stream: Any = container.add_stream(codec, rate=12)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.options = {"crf": "0"} if codec == "libx264rgb" else {}
        for _ in range(3):
            pixels = np.broadcast_to(np.array(RED, np.uint8), (*size[::-1], 3))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    found, source = read(path)
    assert close(found, RED, 1), found
    assert source.reading == ()


def pq(nits: float) -> float:
    """ITU-R BT.2100's inverse EOTF."""
    y = (nits / 10_000) ** (2610 / 16384)
    return float(((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32))


def srgb(light: Any) -> Any:
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


HDR: Any = {"pix_fmt": "yuv420p10le", "matrix": BT2020, "primaries": 9}


@pytest.mark.parametrize(
    ("nits", "low", "high"),
    [
        (0, 0, 0),
        (20.3, 87, 91),
        (100, 183, 189),
        (203, 230, 245),
        (1000, 250, 255),
        (10_000, 255, 255),
    ],
)
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_pq_is_reduced_to_standard_range(
    tmp_path: Path, nits: float, low: int, high: int, codec: str
) -> None:
    path = write_colour(tmp_path / "a.mp4", [pq(nits)] * 3, curve=PQ, codec=codec, **HDR)
    found, source = read(path)
    assert max(found) - min(found) <= 1, "grey stays grey"
    assert low <= found[0] <= high, found
    assert source.reading == ("hdr",)


@pytest.mark.parametrize(
    ("signal", "low", "high"), [(0.0, 0, 0), (0.5, 130, 142), (0.75, 230, 245), (1.0, 253, 255)]
)
def test_hlg_is_reduced_to_standard_range(
    tmp_path: Path, signal: float, low: int, high: int
) -> None:
    """Its reference white is 75 percent of the signal; 50 percent is 50 nits (ITU-R BT.2408)."""
    path = write_colour(tmp_path / "a.mp4", [signal] * 3, curve=HLG, **HDR)
    found, source = read(path)
    assert low <= found[0] <= high, found
    assert source.reading == ("hdr",)


TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
"""ITU-R BT.2087: linear BT.709 to linear BT.2020."""


@pytest.mark.parametrize("colour", COLOURS)
def test_colours_of_bt709_survive_in_hdr(tmp_path: Path, colour: Any) -> None:
    """A colour below the knee, coded with PQ and BT.2020's primaries, is itself again."""
    level = np.array(colour) / 255 * 0.8
    light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    signal = [pq(nits * 203) for nits in TO_BT2020 @ light]
    found, _ = read(write_colour(tmp_path / "a.mp4", signal, curve=PQ, **HDR))
    assert close(found, srgb(light), 4), (found, srgb(light))


@pytest.mark.parametrize("matrix", [BT2020, UNTAGGED])
def test_wide_primaries_of_standard_range_are_converted(tmp_path: Path, matrix: int) -> None:
    level = np.array(RED) / 255
    light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    signal = srgb(TO_BT2020 @ light) / 255
    path = write_colour(tmp_path / "a.mp4", signal, told=matrix, **HDR)
    found, source = read(path)
    assert close(found, RED, 3), found
    assert "gamut" in source.reading


@pytest.mark.parametrize("primaries", [9, 11, 12])
def test_greys_stay_what_the_primaries_may_be(tmp_path: Path, primaries: int) -> None:
    signal = [100 / 255] * 3
    path = write_colour(tmp_path / "a.mp4", signal, BT709, primaries=primaries)
    found, source = read(path)
    assert close(found, [100] * 3, 2), found
    assert source.reading == ("gamut",)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"told": 8}, r"matrix 8, YCgCo.* re-encode"),
        ({"told": 10}, r"matrix 10, BT\.2020 with constant luminance"),
        ({"told": 14, "curve": PQ}, r"matrix 14, ICtCp"),
        ({"curve": 8}, r"transfer curve 8, linear"),
        ({"curve": 9}, r"transfer curve 9, logarithmic"),
        ({"curve": 17}, r"transfer curve 17, digital cinema"),
    ],
)
def test_colours_without_a_conversion_are_refused(tmp_path: Path, tags: Any, message: str) -> None:
    path = write_colour(tmp_path / "a.mp4", np.array(RED) / 255, **tags)
    with pytest.raises(SourceError, match=rf"a\.mp4 has colours of the {message}"):
        probe(path)


def test_a_reserved_matrix_is_none(tmp_path: Path) -> None:
    """VP9 may carry one; swscale would refuse it."""
    frame = coded(np.array(RED) / 255, BT601, (64, 48))
    frame.colorspace = 3
    assert close(tuple(map(int, SourceFrame(frame).scaled(32, 24)[12, 16])), RED, 3)
    assert list(SourceFrame(frame).reading()) == []


@given(low=st.floats(0, 10_000), high=st.floats(0, 10_000))
def test_more_light_never_is_darker(low: float, high: float) -> None:
    first, second = sorted([low, high])
    grey = []
    for nits in (first, second):
        frame = coded([pq(nits)] * 3, BT2020, (16, 16), "yuv444p10le")
        frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries = 9, 1, PQ, 9
        grey.append(int(opaque_sdr(frame)[8, 8, 1]))
    assert grey[0] <= grey[1]
