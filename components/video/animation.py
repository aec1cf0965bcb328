"""Animated WebP, which FFmpeg does not read: libwebp composes its frames, through Pillow.

They are packed without loss into QuickTime in memory, so that all that is true of other videos,
from limits to alpha, is true of them.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from components.config import VideoLimits
from components.errors import SourceError
from components.video.limits import check_limit

_MILLISECONDS = 1000
_AT_MOST, _INSTEAD = 10, 100
"""Milliseconds: frames of up to 10 show for 100, as in every browser."""
_FRAME_DURATION = 1 << 8
"""FFmpeg's flag by which a frame's duration becomes its packet's."""


def packed(path: Path, limits: VideoLimits) -> io.BytesIO:
    """The frames of an animated WebP as a QuickTime file of PNG pictures.

    Args:
        path: The WebP file.
        limits: What it may hold.

    Raises:
        SourceError: it is damaged, or over a limit.
    """
    from PIL import Image

    name = path.name
    target = io.BytesIO()
    try:
        with Image.open(path, formats=("WEBP",)) as image:
            pixels = image.width * image.height
            check_limit(name, "pixels a frame", pixels, limits.frame_pixels, "scale it down")
            count = getattr(image, "n_frames", 1)
            check_limit(
                name, "frames", count, limits.frames, "cut it, or raise video.limits.frames"
            )
            _pack(image, count, target, name, limits)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise SourceError(f"{name} is damaged: {error}; copy or download it again") from error
    target.seek(0)
    return target


def _pack(image: Any, count: int, target: io.BytesIO, name: str, limits: VideoLimits) -> None:
    import av
    import numpy as np

    mode, pixel_format = ("RGBA", "rgba") if image.mode == "RGBA" else ("RGB", "rgb24")
    options = {"video_track_timescale": str(_MILLISECONDS)}
    shown = 0
    with av.open(target, "w", format="mov", options=options) as container:
        stream: Any = container.add_stream("png", rate=_MILLISECONDS)
        stream.width, stream.height, stream.pix_fmt = image.width, image.height, pixel_format
        stream.options = {"compression_level": "1"}
        stream.codec_context.thread_count = 1
        stream.codec_context.flags |= _FRAME_DURATION
        for index in range(count):
            image.seek(index)
            image.load()
            lasts = round(image.info["duration"])
            lasts = lasts if lasts > _AT_MOST else _INSTEAD
            frame = av.VideoFrame.from_ndarray(np.array(image.convert(mode)), pixel_format)
            frame.pts, frame.duration = shown, lasts
            container.mux(stream.encode(frame))
            shown += lasts
            check_limit(
                name,
                "seconds",
                shown / _MILLISECONDS,
                limits.duration,
                "cut it, or raise video.limits.duration",
            )
        container.mux(stream.encode(None))
