"""Finds the damage that FFmpeg passes over while it decodes.

FFmpeg is made for players: it fills in what cannot be decoded, looks for the next frame, and says
so in its log at most. Here the first sign of damage ends the video.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Self

from components.errors import SourceError

_STRICT = "crccheck+bitstream+buffer+explode"
_ERR_DETECT = {
    # Where an open group of pictures begins, `explode` takes missing references for damage;
    # real damage is logged all the same.
    "h264": "crccheck",
    # What is left behind a frame's last block tells of damage; in others, of sloppy encoders.
    **dict.fromkeys(("flv", "msmpeg4", "msmpeg4v2", "wmv1", "wmv2"), _STRICT),
}
_SECOND_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Decoders that notice what FFmpeg's own of the same codec do not: neither codec has checksums, but
damaged frames rarely end where their data end. On sound videos both give equal pixels."""
_JOINED = {"mpeg", "mpegts"}
"""Demuxers of broadcasts, which may be joined between two key frames."""

_HARMLESS = re.compile(
    # Of h264, where an open group of pictures begins or an encoder keeps no account.
    r"mmco: |co located POCs unavailable|number of reference frames|SEI type|"
    r"Codec \(.*\) not on whitelist"
)
_DAMAGE = {
    "asf": r"packet_\w+ -?\d+ invalid|freeing incomplete packet",
    "avi": r"Something went wrong during header parsing",
    "matroska,webm": r"Error parsing frame sizes|File ended prematurely|Read error",
    "mov,mp4,m4a,3gp,3g2,mj2": r"partial file|missing mandatory atoms|Sample size \d+ is too large",
    "ogg": r"CRC mismatch",
    "utvideo": r"bits left after decoding slice",
}
"""FFmpeg's component → what it logs of damage that it then passes over, errors or warnings.
Of the decoder in use, all errors count."""
_CORRUPT = re.compile(r"Packet corrupt \(stream = (\d+)")


class Watch:
    """Reads FFmpeg's log while it works: a context that ends in a SourceError after damage."""

    def __init__(self, name: str, decoders: tuple[str, ...] = ()) -> None:
        self.name = name
        """The video's, for the message."""
        self.frames = 0
        """Frames that were decoded so far."""
        self.container: Any = None
        """The opened container, once it is."""
        self._decoders = decoders

    def __enter__(self) -> Self:
        from av import logging

        self._before = logging.get_level(), logging.get_skip_repeated()
        logging.set_level(logging.WARNING)
        logging.set_skip_repeated(False)  # or the next video is told what this one repeats
        self._capture = logging.Capture(local=True)
        self._log = self._capture.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        from av import logging

        self._capture.__exit__(None, None, None)
        level, skip_repeated = self._before
        logging.set_level(level)
        logging.set_skip_repeated(skip_repeated)
        if kind is not None:
            return
        for level, component, message in self._log:
            if self._tells_of_damage(level, component, message):
                self.damaged(f"{component}: {message.strip()}")

    def damaged(self, sign: str) -> None:
        """Raise the SourceError that damage is."""
        raise SourceError(
            f"{self.name} is damaged or truncated after frame {self.frames} ({sign}); copy or "
            "download it again"
        )

    def _tells_of_damage(self, level: int, component: str, message: str) -> bool:
        from av import logging

        if component in _DAMAGE and re.search(_DAMAGE[component], message):
            return True
        if component in self._decoders:
            return level <= logging.ERROR and not _HARMLESS.match(message)
        corrupt = _CORRUPT.match(message)
        return bool(corrupt) and self._is_video(int(corrupt[1]))  # type: ignore[index]

    def _is_video(self, index: int) -> bool:
        streams = self.container.streams if self.container else ()
        return index < len(streams) and streams[index].type == "video"


def decoder_options(codec: str, max_pixels: int) -> dict[str, str]:
    """Options with which a decoder reports damage instead of hiding it, and allots no more."""
    detect = _ERR_DETECT.get(codec, "crccheck+explode")
    return {"err_detect": detect, "max_pixels": str(max_pixels)}


def sound_frames(
    container: Any, stream: Any, decoder: Any, name: str, *, twice: bool = False
) -> Iterator[tuple[Any, Any]]:
    """Decode a stream.

    Args:
        container: PyAV's, opened for reading.
        stream: Its video stream.
        decoder: Of the stream, with ``decoder_options``.
        name: The video's, for messages.
        twice: Have the frames decoded by a second decoder, too, where one finds more damage.

    Yields:
        PyAV's frames, in the order in which they show, each with the packet that brought it out.

    Raises:
        SourceError: there is any sign of damage.
        av.FFmpegError: it cannot be decoded.
    """
    second = _second_decoder(decoder) if twice else None
    watch = Watch(name, (decoder.name, second.name) if second else (decoder.name,))
    watch.container = container
    started = container.format.name not in _JOINED
    packets = container.demux(stream)
    while True:
        with watch:
            packet = next(packets, None)
            if packet is None:
                break
            last = packet.dts is None and not packet.size
            started = started or packet.is_keyframe or last
            if not started or (not packet.size and not last):  # an AVI repeats a frame by nothing
                continue
            if packet.is_corrupt:
                watch.damaged("its packet is marked")
            images = decoder.decode(packet)
            if second:
                second.decode(None if last else packet)
        for image in images:
            if image.is_corrupt:
                watch.damaged("it is marked")
            watch.frames += 1
            yield image, packet


def _second_decoder(decoder: Any) -> Any:
    import av

    if decoder.name not in _SECOND_DECODERS:
        return None
    second: Any = av.CodecContext.create(_SECOND_DECODERS[decoder.name], "r")
    second.thread_count = 1
    second.options = decoder.options
    return second
