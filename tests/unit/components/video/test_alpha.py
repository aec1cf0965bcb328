"""Transparent pixels show white, in every format that can have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from components.config import VideoConfig, VideoLimits
from components.video.colour import opaque_sdr
from components.video.io import decode_clip, decode_frames, probe
from components.video.stream import open_track
from tests.unit.components.video.test_colour import coded, pq

RED, HIDDEN = (200, 30, 30), (0, 255, 0)
SIZE = 64


def picture(step: int = 0, alpha: int = 255, hidden: Any = HIDDEN) -> NDArray[np.uint8]:
    """(64, 64, 4): a red square on nothing, moved right by steps of four pixels."""
    pixels = np.zeros((SIZE, SIZE, 4), np.uint8)
    pixels[..., :3] = hidden
    left = 16 + 4 * step
    pixels[16:48, left : left + 24] = (*RED, alpha)
    return pixels


KINDS: dict[str, Any] = {
    "vp9": ("a.webm", "webm", "libvpx-vp9", "yuva420p", {"lossless": "1"}),
    "vp8": ("a.webm", "webm", "libvpx", "yuva420p", {"auto-alt-ref": "0", "crf": "4", "b": "9M"}),
    "vp9-mkv": ("a.mkv", "matroska", "libvpx-vp9", "yuva420p", {"lossless": "1"}),
    "prores": ("a.mov", "mov", "prores_ks", "yuva444p10le", {}),
    "png": ("a.mov", "mov", "png", "rgba", {}),
    "qtrle": ("a.mov", "mov", "qtrle", "argb", {}),
    "ffv1": ("a.mkv", "matroska", "ffv1", "yuva420p", {}),
    "ffv1-rgb": ("a.mkv", "matroska", "ffv1", "bgra", {}),
}


def write_alpha(
    path: Path, muxer: str, codec: str, pix_fmt: str, options: Any, *, frames: Any
) -> Path:
    with av.open(str(path), "w", format=muxer) as container:
        stream: Any = container.add_stream(codec, rate=12, options=options)
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, pix_fmt
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(pixels, "rgba").reformat(format=pix_fmt)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read(path: Path, count: int = 4) -> NDArray[np.uint8]:
    return decode_clip(path, VideoConfig(num_frames=count, width=SIZE, height=SIZE)).frames


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_transparent_is_white(tmp_path: Path, kind: str) -> None:
    name, *how = KINDS[kind]
    path = write_alpha(tmp_path / name, *how, frames=[picture(step) for step in range(4)])
    frames = read(path)
    for step, frame in enumerate(frames):
        assert np.abs(frame[32, 28 + 4 * step].astype(int) - RED).max() < 16
        assert frame[:8].min() > 250, "the hidden green does not show"
        assert frame[:, -4:].min() > 250
    assert probe(path).reading == ("alpha",)
    video = VideoConfig(width=SIZE, height=SIZE)
    assert np.array_equal(decode_frames(path, [1, 3], video), frames[[1, 3]])


@pytest.mark.parametrize("kind", ["vp9", "prores", "png", "qtrle", "ffv1-rgb"])
def test_half_transparent_is_half_white(tmp_path: Path, kind: str) -> None:
    name, *how = KINDS[kind]
    path = write_alpha(tmp_path / name, *how, frames=[picture(alpha=128)] * 2)
    half = [round(value * 128 / 255 + 255 * 127 / 255) for value in RED]
    assert np.abs(read(path, 2)[1, 32, 28].astype(int) - half).max() < 10


@pytest.mark.parametrize("kind", KINDS)
def test_opaque_frames_are_read_as_ever(tmp_path: Path, kind: str) -> None:
    name, *how = KINDS[kind]
    opaque = picture()
    opaque[..., 3] = 255
    path = write_alpha(tmp_path / name, *how, frames=[opaque] * 2)
    assert probe(path).reading == ()
    with av.open(str(path)) as container:  # by FFmpeg's own choice of decoder
        for frame, found in zip(container.decode(video=0), read(path, 2), strict=True):
            plain = frame.reformat(format="rgb24", interpolation="BILINEAR", threads=1)
            assert np.array_equal(plain.to_ndarray(), found)


@pytest.mark.parametrize("disposal", [0, 1, 2, 3])
def test_gif_was_white_before_and_stays_so(tmp_path: Path, disposal: int) -> None:
    """FFmpeg hides white behind its transparent pixels, so nothing is read another way."""
    images = [Image.fromarray(picture(step), "RGBA") for step in range(4)]
    path = tmp_path / "a.gif"
    images[0].save(path, save_all=True, append_images=images[1:], disposal=disposal, duration=100)
    frames = read(path)
    assert np.abs(frames[0, 32, 28].astype(int) - RED).max() < 16
    assert frames[:, :8].min() == 255
    assert probe(path).reading == ()


@pytest.mark.parametrize(("name", "how"), [("a.apng", {}), ("a.webp", {"lossless": True})])
def test_animated_pictures_lie_on_white(tmp_path: Path, name: str, how: dict[str, Any]) -> None:
    images = [Image.fromarray(picture(step), "RGBA") for step in range(4)]
    kind = {"a.apng": "PNG", "a.webp": "WEBP"}[name]
    path = tmp_path / name
    images[0].save(
        path, kind, save_all=True, append_images=images[1:], duration=100, exact=True, **how
    )
    frames = read(path)
    assert probe(path).reading == ("alpha",)
    assert frames[:, :8].min() == 255, "the hidden green does not show"
    assert np.abs(frames[0, 32, 28].astype(int) - RED).max() < 4


def test_hidden_white_is_no_other_reading(tmp_path: Path) -> None:
    name, *how = KINDS["png"]
    path = write_alpha(tmp_path / name, *how, frames=[picture(hidden=(255, 255, 255))] * 2)
    assert probe(path).reading == ()
    assert read(path, 2)[:, :8].min() == 255


def test_one_transparent_frame_among_others_is_found(tmp_path: Path) -> None:
    opaque = picture()
    opaque[..., 3] = 255
    name, *how = KINDS["vp9"]
    path = write_alpha(tmp_path / name, *how, frames=[opaque, opaque, picture(), opaque])
    assert probe(path).reading == ("alpha",)
    assert [frame[:8].mean() > 250 for frame in read(path)] == [False, False, True, False]


def test_edges_do_not_bleed_when_scaled_down(tmp_path: Path) -> None:
    """Frames are laid on white before they are scaled."""
    name, *how = KINDS["qtrle"]
    path = write_alpha(tmp_path / name, *how, frames=[picture()] * 2)
    small = decode_frames(path, [0], VideoConfig(width=16, height=16))[0]
    mixed = np.array(RED) + (255 - np.array(RED)) * np.linspace(0, 1, 256)[:, None]
    for pixel in small.reshape(-1, 3):  # all lie between red and white
        assert np.abs(mixed - pixel).max(axis=1).min() < 4


def test_alpha_of_hdr_is_laid_on_the_white_that_is_shown() -> None:
    frame = coded([pq(203)] * 3, 9, (16, 16), "yuva444p10le")
    frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries = 9, 1, 16, 9
    plane = frame.planes[3]
    plane.update(np.zeros(plane.buffer_size, np.uint8).tobytes())
    assert opaque_sdr(frame).min() == 255
    plane.update(np.full(plane.buffer_size // 2, 1023, "<u2").tobytes())
    assert 230 <= opaque_sdr(frame).max() <= 245


@pytest.mark.parametrize(("tagged", "white"), [(False, False), (True, True)])
def test_the_fourth_byte_of_a_windows_bitmap_is_no_alpha(
    tmp_path: Path, tagged: Any, white: Any
) -> None:
    """Screen recorders leave it at zero: all would be white."""
    codec, pix_fmt = ("ffvhuff", "bgra") if tagged else ("rawvideo", "bgra")
    how: Any = ("avi", codec, pix_fmt, {})
    path = write_alpha(tmp_path / "a.avi", *how, frames=[picture(alpha=0)] * 2)
    with av.open(str(path), format="avi") as container:
        track = open_track(path, container, container.streams.video[0], VideoLimits())
        packet = next(container.demux(track.stream))
        (image,) = track.decoder.decode(packet)
        frame = track.frame(image, packet).scaled(SIZE, SIZE)
    assert (frame[32, 28].min() > 250) == white
