"""Which of a file's video streams is the video, and what decodes it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from components.config import VideoLimits
from components.errors import SourceError
from components.video.colour import check_colours
from components.video.containers import CODECS
from components.video.damage import decoder_options
from components.video.declared import WHOLE, Declared, check_crop, read_declared
from components.video.display import SourceFrame
from components.video.interlace import declared_fields
from components.video.orientation import UPRIGHT, Orientation, read_orientation

if TYPE_CHECKING:
    import av

_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""FFmpeg's decoder → the one that decodes the second picture of a frame, which is its alpha."""
_BI_RGB = "\0\0\0\0"
_ALIGNED = 32
"""Bytes: FFmpeg's own step for cropping the left edge, unless it is told not to mind."""


@dataclass(slots=True)
class Track:
    """A file's video: its stream, its decoder, and how its frames are shown."""

    name: str
    """The file's, for messages."""
    stream: Any
    decoder: Any
    """Of the stream's codec, not yet opened."""
    declared: Declared
    pixel_aspect: float
    fields: Literal["", "tff", "bff"]
    reading: tuple[str, ...]
    """See ``Probe.reading``: names of what is otherwise before a frame is decoded."""
    orientation: Orientation = UPRIGHT
    """Of the last frame; told once, it holds on."""

    def frame(self, image: av.VideoFrame, packet: Any) -> SourceFrame:
        """The next picture, decoded from a packet, with all that is known of how to show it.

        Raises:
            SourceError: it cannot be shown right.
        """
        check_colours(image, self.name)
        if self.declared.crop != WHOLE:
            check_crop(self.declared.crop, (image.width, image.height), self.name)
        if image.interlaced_frame and self.decoder.codec.canonical_name == "hevc":
            raise SourceError(
                f"{self.name} is interlaced HEVC, whose fields FFmpeg gives as frames of half the "
                "height: deinterlace and re-encode it"
            )
        self.orientation = read_orientation(image, packet, self.name) or self.orientation
        return SourceFrame(
            image,
            self.orientation,
            self.pixel_aspect,
            self.declared.crop,
            self.fields,
            self._left_cut(image),
            self._padded(),
        )

    def _padded(self) -> bool:
        """Windows bitmaps of 32 bits have no alpha, though FFmpeg reads one (BITMAPINFOHEADER)."""
        coded = self.stream.codec_context
        raw = coded.name == "rawvideo" and coded.codec_tag == _BI_RGB
        return bool(raw and self.stream.container.format.name == "avi")

    def _left_cut(self, image: av.VideoFrame) -> bool:
        if self.decoder.coded_width == self.decoder.width:
            return False
        return any(plane.buffer_ptr % _ALIGNED for plane in image.planes)


def open_track(path: Path, container: Any, stream: Any, limits: VideoLimits) -> Track:
    """Prepare to decode a stream.

    Args:
        path: The file.
        container: PyAV's.
        stream: See ``choose_stream``.
        limits: What its frames may hold.

    Raises:
        SourceError: no decoder knows it, or its container asks for what cannot be done.
        OSError: the file cannot be read.
    """
    from av.codec.context import Flags

    if stream.codec_context is None:
        raise SourceError(f"{path.name} has a codec that FFmpeg does not know: convert it")
    if stream.codec_context.name not in CODECS:
        raise SourceError(
            f"{path.name} has the codec {stream.codec_context.name!r}, which is not read: convert "
            "it to H.264"
        )
    decoder = _decoder(stream)
    # One thread: errors are concealed differently by several, and the step's workers
    # already fill the machine.
    decoder.thread_type, decoder.thread_count = "NONE", 1
    decoder.options = decoder_options(decoder.name, limits.frame_pixels)
    decoder.flags |= Flags.unaligned  # or columns stay that the codec crops
    declared = read_declared(path, container, stream)
    return Track(
        name=path.name,
        stream=stream,
        decoder=decoder,
        declared=declared,
        pixel_aspect=float(declared.pixel_aspect or stream.sample_aspect_ratio or 1) or 1.0,
        fields=declared_fields(stream.codec_context),
        reading=("stream",) if stream.index != container.streams.video[0].index else (),
    )


def _decoder(stream: Any) -> Any:
    from av.codec.context import CodecContext

    context = stream.codec_context
    if stream.metadata.get("alpha_mode") != "1" or context.name not in _WITH_ALPHA:
        return context
    decoder: Any = CodecContext.create(_WITH_ALPHA[context.name], "r")
    decoder.extradata = context.extradata
    for tag in ("colorspace", "color_range", "color_primaries", "color_trc"):
        setattr(decoder, tag, getattr(context, tag))
    return decoder


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
