"""Which of a file's video streams is the video."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from components.errors import SourceError


def choose_stream(
    container: Any, name: str, reopened: Callable[[], AbstractContextManager[Any]]
) -> Any:
    """The moving video stream that is flagged as the default, else the one FFmpeg finds best.

    Cover pictures and thumbnails never are the video; neither is a stream of one picture beside
    one of several. Of several defaults FFmpeg's best counts, and then the one of most pixels.

    Args:
        container: PyAV's, opened for reading.
        name: The file's, for messages.
        reopened: Opens the file once more, to count pictures where its header does not say.

    Raises:
        SourceError: it holds no video stream, or nothing but covers.
    """
    from av.stream import Disposition

    streams = container.streams.video
    if not streams:
        raise SourceError(f"{name} holds 0 video streams, but 1 is needed")
    moving = [stream for stream in streams if not _is_picture(stream)]
    if not moving:
        raise SourceError(
            f"{name} holds {len(streams)} cover pictures or thumbnails and 0 moving video streams, "
            "but 1 is needed: it is a piece of music or a picture; leave it out"
        )
    if len(moving) > 1:
        moving = _without_stills(moving, reopened)
    chosen = [stream for stream in moving if stream.disposition & Disposition.default] or moving
    best = container.streams.best("video")
    if best in chosen:
        return best
    return max(chosen, key=lambda stream: (_pixels(stream), -stream.index))


def _is_picture(stream: Any) -> bool:
    from av.stream import Disposition

    pictures = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    return bool(stream.disposition & pictures)


def _without_stills(
    streams: list[Any], reopened: Callable[[], AbstractContextManager[Any]]
) -> list[Any]:
    counts = {stream.index: stream.frames for stream in streams}
    unknown = {index for index, count in counts.items() if not count}
    if unknown:
        with reopened() as container:
            for packet in container.demux([container.streams[index] for index in unknown]):
                counts[packet.stream_index] += bool(packet.size)
                if all(counts[index] > 1 for index in unknown):
                    break
    return [stream for stream in streams if counts[stream.index] > 1] or streams


def _pixels(stream: Any) -> int:
    context = stream.codec_context
    return context.width * context.height if context else 0
