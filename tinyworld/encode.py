"""A drawn scene as files: its frames as an mp4, its things' masks as pictures."""

from __future__ import annotations

import filecmp
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

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


def write_masks(scene: Scene, folder: Path) -> None:
    """Write where things are in each of the 24 frames: ``00000.png`` on, white upon black.

    Files that hold these bytes already are left alone, so that their time of change stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, mask in enumerate(np.asarray(render(scene).masks.any(axis=1))):
        picture = io.BytesIO()
        Image.fromarray(mask).save(picture, "PNG")
        path = folder / f"{number:05}.png"
        if not path.exists() or path.read_bytes() != picture.getvalue():
            path.write_bytes(picture.getvalue())


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
