"""Which container a video file is, by its content, and how FFmpeg is opened for it.

FFmpeg is never asked what a file is: it would take a text for a playlist and follow its links. The
first bytes say which of a few containers a file is, and FFmpeg is told that one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.config import VideoLimits
from components.errors import SourceError
from components.video.animation import packed
from components.video.damage import Watch
from components.video.foreign import foreign_content, foreign_text


@dataclass(frozen=True, slots=True)
class Container:
    """One format of video files."""

    name: str
    """As users call it."""
    demuxer: str
    """FFmpeg's name; of animated WebP, which FFmpeg does not read, none."""
    suffixes: tuple[str, ...]
    """File names that a folder's videos are found by. The content decides, so others will do."""


MP4 = Container("MP4", "mp4", (".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".f4v"))
MATROSKA = Container("Matroska", "matroska", (".webm", ".mkv"))
AVI = Container("AVI", "avi", (".avi",))
MPEG_PS = Container("MPEG program stream", "mpeg", (".mpg", ".mpeg", ".vob"))
MPEG_TS = Container("MPEG transport stream", "mpegts", (".ts", ".m2ts", ".mts", ".m2t"))
FLV = Container("FLV", "flv", (".flv",))
ASF = Container("ASF", "asf", (".wmv", ".asf"))
OGG = Container("Ogg", "ogg", (".ogv",))  # .ogg is mostly sound
Y4M = Container("YUV4MPEG2", "yuv4mpegpipe", (".y4m",))
GIF = Container("GIF", "gif", (".gif",))
APNG = Container("APNG", "apng", (".apng",))
WEBP = Container("animated WebP", "", ())  # .webp is a frame of a folder

SUPPORTED = (MP4, MATROSKA, AVI, MPEG_PS, MPEG_TS, FLV, ASF, OGG, Y4M, GIF, APNG, WEBP)
CONTAINERS = {suffix: container for container in SUPPORTED for suffix in container.suffixes}
"""File suffix, in lower case → container: what a folder's videos are found by."""

TS_PACKETS = ((188, 0), (192, 4), (204, 0))
"""Bytes of a transport packet, and before its sync byte: broadcast, Blu-ray, with check bytes."""
TS_SYNC = 0x47
_SYNCS = 5
_HEAD = 1 << 16
_WEBP_ANIMATED = 2
_MAGIC = (
    (0, b"\x1a\x45\xdf\xa3", MATROSKA),
    (0, b"\0\0\x01\xba", MPEG_PS),
    (0, b"FLV\x01", FLV),
    (0, bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), ASF),
    (0, b"OggS", OGG),
    (0, b"YUV4MPEG2 ", Y4M),
    (0, b"GIF87a", GIF),
    (0, b"GIF89a", GIF),
    (8, b"AVI ", AVI),
    *((4, kind, MP4) for kind in (b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"wide", b"pnot")),
    *((4, kind, MP4) for kind in (b"free", b"skip", b"sidx")),
)
_CODECS = """
    8bps aic amv apng av1 camstudio cfhd cinepak cllc dirac dnxhd dvvideo dxv ffv1 ffvhuff flashsv
    flashsv2 flv fraps gif h261 h263 h263i h263p h264 hap hevc huffyuv hymt indeo2 indeo3 indeo4
    indeo5 jpeg2000 lagarith libdav1d libvpx libvpx-vp9 magicyuv mjpeg mjpegb mpeg1video mpeg2video
    mpeg4 mpegvideo msmpeg4 msmpeg4v1 msmpeg4v2 msrle msvideo1 png prores qtrle r10k r210 rawvideo
    rpza rv10 rv20 rv30 rv40 smc snow speedhq svq1 svq3 theora tscc tscc2 utvideo v210 v308 v408
    v410 vc1 vp3 vp4 vp6 vp6a vp6f vp7 vp8 vp9 vvc wmv1 wmv2 wmv3 yuv4 zmbv
"""
CODECS = frozenset(_CODECS.split())
"""FFmpeg's decoders that are used. It has five times as many, of games and of one camera each,
which nobody attacks but an attacker."""


def recognised(path: Path) -> Container:
    """Which container a file is: by its content, and by its suffix where that tells nothing.

    Raises:
        SourceError: the file is something else, which is named.
        OSError: it cannot be read.
    """
    with path.open("rb") as handle:
        head = handle.read(_HEAD)
    found = _by_content(head) or foreign_content(head)
    if isinstance(found, tuple):
        what, remedy = found
        raise SourceError(f"{path.name} is {what}, and no video that can be read: {remedy}")
    found = found or CONTAINERS.get(path.suffix.lower())
    if found is None:
        raise SourceError(
            f"{path.name} begins like no supported container and has the suffix {path.suffix!r}; "
            f"supported are {', '.join(c.name for c in SUPPORTED)}: convert it"
        )
    return found


def remarks_on(path: Path) -> tuple[str, ...]:
    """What to tell of a file whose name says another container than its content.

    Raises:
        As ``recognised``.
    """
    found = recognised(path)
    if CONTAINERS.get(path.suffix.lower(), found) is found:
        return ()
    return (f"its content is {found.name}, which counts, whatever its suffix {path.suffix!r} says",)


def _by_content(head: bytes) -> Container | None:
    if head[4:8] == b"ftyp" and foreign_content(head):
        return None  # pictures have MP4's boxes
    for offset, magic, container in _MAGIC:
        if head.startswith(magic, offset):
            return container
    if head.startswith(b"\x89PNG\r\n\x1a\n") and b"acTL" in head.split(b"IDAT", 1)[0]:
        return APNG
    if head[8:16] == b"WEBPVP8X" and head[20:21] and head[20] & _WEBP_ANIMATED:
        return WEBP
    return MPEG_TS if ts_packet(head) and not foreign_text(head) else None


def ts_packet(head: bytes) -> tuple[int, int] | None:
    """The entry of TS_PACKETS that a transport stream's first bytes fit."""
    for length, before in TS_PACKETS:
        syncs = head[before : before + _SYNCS * length : length]
        if len(syncs) > 1 and set(syncs) == {TS_SYNC}:
            return length, before
    return None


@contextlib.contextmanager
def opened(path: Path, container: Container, limits: VideoLimits) -> Iterator[Any]:
    """Open a video file with PyAV as the given container and nothing else.

    Raises:
        av.FFmpegError: it is no such container.
        SourceError: it is found to be damaged, or over a limit.
    """
    import av

    source: Any = f"file:{path.absolute()}"
    demuxer = container.demuxer
    if container is WEBP:
        source, demuxer = packed(path, limits), MP4.demuxer
    watch = Watch(path.name)
    with contextlib.ExitStack() as stack:
        with watch:
            watch.container = stack.enter_context(
                av.open(
                    source,
                    format=demuxer,
                    # All that FFmpeg's own analysis may open and decode, sound included.
                    options={
                        "protocol_whitelist": "file",
                        "codec_whitelist": ",".join(sorted(CODECS)),
                    },
                    metadata_errors="replace",  # titles in Latin-1 are common
                )
            )
        yield watch.container
