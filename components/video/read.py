"""Opens video files and folders of frames, however damaged or hostile, one frame at a time.

Every limit is checked before the work that it bounds, and again as it goes on, since headers may
lie. FFmpeg is told which container to expect and may open local files only: it would otherwise take
a text file for a playlist and follow its links.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.config import VideoLimits
from components.errors import SourceError
from components.video.clock import FRAME_FOLDER_FPS, Clock
from components.video.containers import opened, recognised, remarks_on
from components.video.damage import sound_frames
from components.video.display import SourceFrame
from components.video.folder import look_at_folder, read_folder
from components.video.interlace import deinterlaced
from components.video.limits import DEFAULT_LIMITS, check_limit
from components.video.pictures import read_picture
from components.video.stream import Track, choose_stream, open_track
from components.video.whole import check_whole

if TYPE_CHECKING:
    from components.video.folder import ReadPicture

READING_VERSION = 2
"""Raised whenever some sources are read into other clips than before. Rows of older versions are
read once more by ingest; their keys, and all that was made of them, stay where the clip did."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """What a source video holds, found by decoding it."""

    num_frames: int
    """Frames that decode (of a folder: images in it)."""
    fps: float
    """Frames per second; the mean rate when it varies."""
    width: int
    """Pixels of the first frame as displayed (rotated, square pixels)."""
    height: int
    reading: tuple[str, ...] = ()
    """What this source made the reader do that version 1 did not, by name, sorted: part of the
    clip's key. Empty for all sources whose clips are the same in both versions."""
    remarks: tuple[str, ...] = ()
    """What of it is not honoured, for the user; of no key."""
    shown: tuple[int, ...] = ()
    """For how many ticks each frame shows; empty at a constant rate."""
    ticks: int = 1
    """Of a second."""


def probe(path: Path, limits: VideoLimits = DEFAULT_LIMITS, fps: float | None = None) -> Probe:
    """Decode a whole video, keeping nothing, to learn what it really holds.

    Args:
        path: A video file or a folder of frames.
        limits: What it may hold.
        fps: ``video.fps``: its rate, whatever it says itself.

    Raises:
        SourceError: missing, unsupported, damaged, empty, or over a limit.
    """
    if path.is_dir():
        with _explained(path):
            look = look_at_folder(path, limits)
        return Probe(
            num_frames=look.num_frames,
            fps=fps or FRAME_FOLDER_FPS,
            width=look.size[0],
            height=look.size[1],
            reading=look.reading,
            remarks=look.remarks,
        )
    with _explained(path), _opened(path, limits) as (container, track):
        clock = Clock(container, track.stream, path.name, limits, fps)
        count, first = 0, None
        reading = set(track.reading)
        for frame in _decoded(container, track, path, limits, twice=True):
            clock.add(frame.image)
            count += 1
            first = first or frame
            reading.update(frame.reading(reading))
        if first is None:
            raise SourceError(f"{path.name} holds 0 frames that decode, but at least 1 is needed")
        width, height = first.display_size()
        timing = clock.timing()
        remarks = remarks_on(path)
    return Probe(
        num_frames=count,
        width=width,
        height=height,
        reading=tuple(sorted(reading)),
        remarks=remarks,
        **dataclasses.asdict(timing),
    )


def read_frames(
    path: Path,
    indices: Sequence[int],
    limits: VideoLimits = DEFAULT_LIMITS,
    picture: ReadPicture = read_picture,
) -> Iterator[SourceFrame]:
    """Yield the frames of the given ascending, distinct indices; decode no further than the last.

    Args:
        path: A video file or a folder of frames.
        indices: Of the frames.
        limits: What it may hold.
        picture: Reads each picture of a folder.

    Raises:
        SourceError: missing, unsupported, damaged, over a limit, or shorter than the indices say.
    """
    wanted = set(indices)
    if path.is_dir():
        import av
        import numpy as np

        with _explained(path):
            for image in read_folder(path, sorted(wanted), limits, picture):
                yield SourceFrame(av.VideoFrame.from_ndarray(np.asarray(image), "rgb24"))
        return
    found = 0
    with _explained(path), _opened(path, limits) as (container, track):
        for _, frame in deinterlaced(_decoded(container, track, path, limits), wanted):
            found += 1
            yield frame
            if found == len(wanted):
                return
    raise SourceError(
        f"{path.name} holds {found} of the {len(wanted)} frames asked for (last index "
        f"{max(wanted)}): it changed since it was probed; run ingest again"
    )


@contextlib.contextmanager
def _opened(path: Path, limits: VideoLimits) -> Iterator[tuple[Any, Track]]:
    """Open a video file's container and the stream that is the video."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device may never end
        raise SourceError(f"{path} is no regular file: copy its content to one")
    check_limit(path.name, "bytes", status.st_size, limits.file_bytes, "cut or re-encode it")
    kind = recognised(path)
    check_whole(path, kind)
    with opened(path, kind, limits) as container:
        reopened = functools.partial(opened, path, kind, limits)
        stream = choose_stream(container, path.name, reopened)
        track = open_track(path, container, stream, limits)
        _check_declared(stream, path.name, limits)
        yield container, track


def _check_declared(stream: Any, name: str, limits: VideoLimits) -> None:
    """Compare what the headers say with the limits."""
    pixels = stream.codec_context.width * stream.codec_context.height
    check_limit(name, "pixels a frame", pixels, limits.frame_pixels, "scale it down")
    check_limit(
        name, "frames", stream.frames, limits.frames, "cut it, or raise video.limits.frames"
    )


def _decoded(
    container: Any, track: Track, path: Path, limits: VideoLimits, *, twice: bool = False
) -> Iterator[SourceFrame]:
    images = sound_frames(container, track.stream, track.decoder, path.name, twice=twice)
    for frames, (image, packet) in enumerate(images, 1):
        pixels = image.width * image.height  # may change from frame to frame
        check_limit(path.name, "pixels a frame", pixels, limits.frame_pixels, "scale it down")
        check_limit(path.name, "frames", frames, limits.frames, "cut it")
        yield track.frame(image, packet)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what the file system and FFmpeg raise into a SourceError that names the video."""
    import av

    try:
        yield
    except FileNotFoundError as error:
        raise SourceError(f"{path} does not exist: check the manifest's uri") from error
    except MemoryError:  # FFmpeg's own is one, too
        raise
    except av.FFmpegError as error:
        raise SourceError(
            f"{path.name} cannot be decoded ({error.strerror}): it is damaged, truncated or not "
            f"what its suffix {path.suffix!r} says; play it, then copy or convert it"
        ) from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
