"""Small real videos for the tests, made with PyAV; frame i is grey of ``LEVEL + STEP * i``."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

LEVEL, STEP = 20, 8
_CODECS = {
    ".mp4": ("libx264", "mp4", "yuv420p"),
    ".mov": ("libx264", "mov", "yuv420p"),
    ".mkv": ("libx264", "matroska", "yuv420p"),
    ".webm": ("libvpx-vp9", "webm", "yuv420p"),
    ".gif": ("gif", "gif", "gray"),
}


def grey_frames(count: int, width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """(F, H, W, 3) uint8 frames that differ in their grey level."""
    levels = (LEVEL + STEP * np.arange(count)) % 256
    return np.broadcast_to(levels[:, None, None, None], (count, height, width, 3)).astype(np.uint8)


def write_video(
    path: Path,
    frames: NDArray[np.uint8] | int = 12,
    *,
    fps: Fraction | int = 12,
    size: tuple[int, int] = (64, 48),
    faststart: bool = False,
    times: Sequence[int] | None = None,
) -> Path:
    """Write frames (or that many grey ones) as the container that the suffix names.

    Args:
        path: The file.
        frames: (F, H, W, 3) uint8, or a number of grey frames.
        fps: Frames per second.
        size: Width and height of grey frames.
        faststart: Put an mp4's index before its frames.
        times: When each frame shows, in frame durations; none for a constant rate.
    """
    pixels = grey_frames(frames, *size) if isinstance(frames, int) else frames
    codec, container_format, pixel_format = _CODECS[path.suffix.lower()]
    options = {"movflags": "+faststart"} if faststart else {}
    with av.open(str(path), "w", format=container_format, options=options) as container:
        stream: Any = container.add_stream(codec, rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt = pixels.shape[2], pixels.shape[1], pixel_format
        if codec == "libx264":
            stream.options = {"crf": "1", "preset": "ultrafast"}
        for index, array in enumerate(pixels):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), "rgb24")
            frame = frame.reformat(format=pixel_format)
            frame.pts = times[index] if times else index
            frame.time_base = 1 / Fraction(fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_streams(
    path: Path, container_format: str, streams: Sequence[dict[str, Any]], **options: str
) -> Path:
    """Write several video streams, interleaved.

    Args:
        path: The file.
        container_format: FFmpeg's muxer.
        streams: Of each: ``frames`` (F, H, W, 3), ``codec``, ``pix_fmt``, ``disposition``.
        options: Of the muxer.
    """
    with av.open(str(path), "w", format=container_format, options=options) as container:
        made: list[tuple[Any, NDArray[np.uint8]]] = []
        for given in streams:
            frames = given["frames"]
            stream: Any = container.add_stream(given.get("codec", "libx264"), rate=12)
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = given.get("pix_fmt", "yuv420p")
            stream.disposition = given.get("disposition", 0)
            made.append((stream, frames))
        for index in range(max(len(frames) for _, frames in made)):
            for stream, frames in made:
                if index < len(frames):
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(frames[index], "rgb24")))
        for stream, _ in made:
            container.mux(stream.encode(None))
    return path


def write_folder(folder: Path, names: Sequence[str], size: tuple[int, int] = (64, 48)) -> Path:
    """Write grey images; the i-th name has the i-th level."""
    folder.mkdir(parents=True)
    for name, frame in zip(names, grey_frames(len(names), *size), strict=True):
        Image.fromarray(frame).save(folder / name)
    return folder


def levels(frames: NDArray[np.uint8]) -> list[int]:
    """Which grey frame each frame is, by its mean level."""
    means = frames.astype(float).mean(axis=(1, 2, 3))
    return [round(float(mean - LEVEL) / STEP) for mean in means]
