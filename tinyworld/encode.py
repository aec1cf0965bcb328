"""A drawn scene as an mp4 file."""

from __future__ import annotations

import filecmp
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tinyworld.draw import render
from tinyworld.scenes import Scene

FPS = 8
_ENLARGED = 2
"""Each pixel becomes a square of so many: H.264 halves the colours' resolution, which then harms
nothing."""


def write_clip(scene: Scene, path: Path) -> None:
    """Draw a scene's 24 frames and encode them as H.264, yuv420p, which every browser plays.

    A file that holds these bytes already is left alone, so that its time of change stays.
    """
    frames = render(scene).frames.repeat(_ENLARGED, axis=1).repeat(_ENLARGED, axis=2)
    fresh = path.with_name(f".{path.name}")
    _encode(frames, fresh)
    if path.exists() and filecmp.cmp(path, fresh, shallow=False):
        fresh.unlink()
    else:
        fresh.replace(path)


def _encode(frames_FHWC: npt.NDArray[np.uint8], path: Path) -> None:
    import av  # noqa: PLC0415 - drawing alone needs no FFmpeg

    # One thread and no muxer timestamps: the same bytes on every machine with this FFmpeg.
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "12", "threads": "1"})
        stream.height, stream.width = frames_FHWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames_FHWC:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
