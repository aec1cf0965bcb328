"""Maps that somebody else made: a folder of pictures or a video, frame for frame with the source.

Read as the source is, through the same checks and with the same geometry.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from components.config import VideoConfig, VideoLimits
from components.errors import ItemError, SourceError
from components.storage.tables import Row
from components.video.isolated import decoder
from components.video.sources import fetch_source, source_sha256

if TYPE_CHECKING:
    from components.controls.maps import Maps

_ASPECT = 0.01
"""By how much aspect ratios may differ, as of masks."""


def read_maps(uri: str, clip: Row, folder: Path, limits: VideoLimits) -> tuple[Maps, str]:
    """Read a clip's maps.

    Args:
        uri: Where they are.
        clip: The clip's row of ``videos``: ``frame_indices``, ``width``, ``height``, ``fit``,
            ``source_frames``, ``source_width`` and ``source_height`` are read.
        folder: For files that are needed no longer than that.
        limits: What reading them may cost.

    Returns:
        (F, H, W, 3) uint8 RGB, and the SHA-256 of what was read (see ``source_sha256``).

    Raises:
        SourceError: they are gone, damaged, over a limit, or not as many as the source's frames.
        TransientError: S3 did not answer, or the decoder was stopped.
    """
    place = folder / "maps"
    place.mkdir()
    with _of_maps():
        path = fetch_source(uri, place, limits)
        sha256 = source_sha256(path)
        size = {name: clip[name] for name in ("width", "height", "fit")}
        video = VideoConfig(**size, limits=limits)
        found = decoder().probe(path, video)
        frames, width, height = (clip[f"source_{n}"] for n in ("frames", "width", "height"))
        if found.num_frames != frames:
            raise SourceError(
                f"{uri} has {found.num_frames} pictures, but its video has {frames} frames: give "
                "one for each frame of the video"
            )
        across, down = found.width * height, found.height * width
        if abs(across - down) > _ASPECT * max(across, down):
            raise SourceError(
                f"{uri} is {found.width}×{found.height}, but its video is {width}×{height}: give "
                "them the video's size, or its aspect ratio"
            )
        indices = tuple(int(index) for index in clip["frame_indices"])
        return decoder().frames(path, indices, video), sha256


@contextmanager
def _of_maps() -> Iterator[None]:
    """Tell that what cannot be read are maps."""
    try:
        yield
    except ItemError as error:
        raise maps_error(error) from error


def maps_error(error: ItemError) -> ItemError:
    """What reading a source raised, told of maps."""
    text = str(error).replace("the manifest's uri", "the manifest's maps")
    return type(error)(f"maps: {text}")
