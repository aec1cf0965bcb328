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
    ".3gp": ("mpeg4", "3gp", "yuv420p"),
    ".webm": ("libvpx-vp9", "webm", "yuv420p"),
    ".mkv": ("libx264", "matroska", "yuv420p"),
    ".avi": ("mpeg4", "avi", "yuv420p"),
    ".mpg": ("mpeg2video", "mpeg", "yuv420p"),
    ".vob": ("mpeg2video", "vob", "yuv420p"),
    ".ts": ("libx264", "mpegts", "yuv420p"),
    ".m2ts": ("libx264", "mpegts", "yuv420p"),
    ".flv": ("flv", "flv", "yuv420p"),
    ".wmv": ("wmv2", "asf", "yuv420p"),
    ".asf": ("msmpeg4", "asf", "yuv420p"),
    ".ogv": ("libvpx", "ogg", "yuv420p"),
    ".y4m": ("wrapped_avframe", "yuv4mpegpipe", "yuv420p"),
    ".gif": ("gif", "gif", "gray"),
    ".apng": ("apng", "apng", "rgb24"),
    ".webp": ("libwebp_anim", "webp", "yuv420p"),
}
"""Suffix → encoder, format, pixels."""
SUFFIXES = tuple(_CODECS)
_PIXELS = {
    "mjpeg": "yuvj420p",
    "prores_ks": "yuv422p10le",
    "huffyuv": "yuv422p",
    "png": "rgb24",
    "qtrle": "rgb24",
    "cinepak": "rgb24",
}
"""Of encoders that do not take their container's."""


def grey_frames(count: int, width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """(F, H, W, 3) uint8 frames that differ in their grey level."""
    levels = (LEVEL + STEP * np.arange(count)) % 256
    return np.broadcast_to(levels[:, None, None, None], (count, height, width, 3)).astype(np.uint8)


def moving_frames(kind: str, count: int = 24, width: int = 96, height: int = 64) -> Any:
    """(F, H, W, 3) uint8 frames of a textured scene that moves under a little noise.

    Args:
        kind: ``move``, ``cut`` (to another scene), ``fade``, ``flash``, ``noise`` or ``still``.
        count: F.
        width: W.
        height: H.
    """
    rng = np.random.default_rng(len(kind))
    scenes = rng.integers(0, 256, (2, height // 8 + count, width // 8 + count, 3), np.uint8)
    first, second = scenes.repeat(8, 1).repeat(8, 2)
    frames = np.zeros((count, height, width, 3))
    for index in range(count):
        step = 0 if kind == "still" else index
        scene = second if kind == "cut" and index >= count // 2 else first
        frames[index] = scene[step : step + height, 2 * step : 2 * step + width]
        if kind == "fade":
            frames[index] *= abs(1 - 2 * index / count)
        if kind == "flash" and index % 7 == 3:
            frames[index] = 255
    if kind == "noise":
        frames = rng.uniform(0, 256, frames.shape)
    if kind in {"move", "cut"}:
        frames += rng.normal(0, 4, frames.shape)
    return frames.clip(0, 255).astype(np.uint8)


def write_video(
    path: Path,
    frames: NDArray[np.uint8] | int = 12,
    *,
    fps: Fraction | int = 12,
    size: tuple[int, int] = (64, 48),
    faststart: bool = False,
    times: Sequence[int] | None = None,
    codec: str | None = None,
    options: dict[str, str] | None = None,
    **muxer: str,
) -> Path:
    """Write frames (or that many grey ones) as the container that the suffix names.

    Args:
        path: The file.
        frames: (F, H, W, 3) uint8, or a number of grey frames.
        fps: Frames per second.
        size: Width and height of grey frames.
        faststart: Put an mp4's index before its frames.
        times: When each frame shows, in frame durations; none for a constant rate.
        codec: Another encoder than the container's usual one.
        options: Of the encoder.
        muxer: Its options.
    """
    pixels = grey_frames(frames, *size) if isinstance(frames, int) else frames
    usual, container_format, pixel_format = _CODECS[path.suffix.lower()]
    pixel_format = _PIXELS.get(codec or usual, pixel_format)
    if faststart:
        muxer["movflags"] = "+faststart"
    if path.suffix.lower() == ".m2ts":
        muxer["mpegts_m2ts_mode"] = "1"
    with av.open(str(path), "w", format=container_format, options=muxer) as container:
        stream: Any = container.add_stream(codec or usual, rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt = pixels.shape[2], pixels.shape[1], pixel_format
        stream.options = options or {}
        if usual == "libx264" and not codec and not options:
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
