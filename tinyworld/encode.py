"""A drawn scene as files: its frames as an mp4, masks and maps of depth as pictures."""

from __future__ import annotations

import filecmp
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from tinyworld.draw import render, render_at
from tinyworld.scenes import FRAMES, SIZE, Scene

FPS = 8
_ENLARGED = 2
"""Each pixel becomes a square of so many: H.264 halves the colours' resolution, which then harms
nothing."""


def write_clip(scene: Scene, path: Path, frames: int = FRAMES) -> None:
    """Draw a scene and encode it as H.264, yuv420p, which every browser plays.

    A file that holds these bytes already is left alone, so that its time of change stays.

    Args:
        scene: What to draw.
        path: The mp4.
        frames: How many, over the whole of the motion.
    """
    drawn = render(scene, frames).frames.repeat(_ENLARGED, axis=1).repeat(_ENLARGED, axis=2)
    fresh = path.with_name(f".{path.name}")
    _encode(drawn, fresh)
    if path.exists() and filecmp.cmp(path, fresh, shallow=False):
        fresh.unlink()
    else:
        fresh.replace(path)


def write_masks(
    scene: Scene, folder: Path, frames: int = FRAMES, *, edited: Sequence[Scene] = ()
) -> None:
    """Write where things are to be seen in each frame: ``00000.png`` on, white upon black.

    That is every pixel that would be another without them, at a soft rim or in a tile of a mosaic,
    too.

    Args:
        scene: the source.
        folder: made if absent.
        frames: of the clip.
        edited: what is asked of it. An edit needs room: where their things are counts as well.
    """
    times = np.linspace(0, 1, frames)
    masks = np.zeros((frames, SIZE, SIZE), dtype=bool)
    for one in (scene, *edited):
        ground = render_at(one, times, empty=True).frames
        masks |= (render_at(one, times).frames != ground).any(axis=-1)
    _write_pictures(masks, folder)


def write_depth(scene: Scene, folder: Path, frames: int = FRAMES) -> None:
    """Write each frame's map of depth (`Clip.near`), for nets whose map is ``files``."""
    _write_pictures(render(scene, frames).near, folder)


def _write_pictures(pictures: npt.NDArray[np.bool_] | npt.NDArray[np.uint8], folder: Path) -> None:
    """Write ``00000.png`` on.

    Files that hold these bytes already are left alone, so that their time of change stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(pictures):
        picture = io.BytesIO()
        Image.fromarray(one).save(picture, "PNG")
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
