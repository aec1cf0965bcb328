"""Tells a whole video file from one that is cut off or damaged between its frames.

FFmpeg reads a cut-off file to where it ends, looks for the next frame after a damaged one, and
often reports no error, so a clip would be drawn from the surviving part in silence. Every container
says how long its pieces are: each is followed to the next, through the whole file, reading no more
than the pieces' headers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from components.errors import SourceError
from components.video import containers
from components.video.whole import boxes, ebml, mpeg, pages, pictures, riff, tags
from components.video.whole.pieces import BrokenError, CutError

_WALKS: dict[containers.Container, Callable[[BinaryIO, int], None]] = {
    containers.MP4: boxes.walk,
    containers.MATROSKA: ebml.walk,
    containers.AVI: riff.walk_avi,
    containers.MPEG_PS: mpeg.walk_program,
    containers.MPEG_TS: mpeg.walk_transport,
    containers.FLV: tags.walk_flv,
    containers.ASF: tags.walk_asf,
    containers.OGG: pages.walk_ogg,
    containers.Y4M: pages.walk_y4m,
    containers.GIF: pictures.walk_gif,
    containers.APNG: pictures.walk_png,
    containers.WEBP: riff.walk_webp,
}


def check_whole(path: Path, container: containers.Container) -> None:
    """Follow a container's pieces from the first to the last.

    Raises:
        SourceError: the file ends before its content does, or a piece is not where it should be.
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as handle:
            _WALKS[container](handle, size)
    except CutError as cut:
        raise SourceError(
            f"{path.name} is truncated: it has {size} bytes, but its {container.name} structure "
            f"needs at least {cut.needed}; copy or download it again"
        ) from cut
    except BrokenError as broken:
        raise SourceError(
            f"{path.name} is damaged: its {container.name} structure breaks at byte "
            f"{broken.offset} of {size} ({broken.what}); copy or download it again"
        ) from broken
