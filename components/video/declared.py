"""What a container says of a video track and PyAV does not tell: its crop, Dolby Vision.

Sources: ISO/IEC 14496-12 (``clap``, ``pasp``), RFC 9559 (Matroska), Dolby Vision Streams Within the
ISO Base Media File Format (the configuration record, which Matroska has, too).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from components.errors import SourceError

_SAMPLE_ENTRY = 8 + 78
"""Bytes of a video's sample entry before its boxes."""
_MAX_FIELD = 1 << 12
_RECORDS = (b"dvcC", b"dvvC", b"dvwC")
_CROSS_COMPATIBLE = 4
"""Bit of the record's fifth byte from which the base layer's kind is told; 0 is none of its own."""
_TRACKS = (0x18538067, 0x1654AE6B, 0xAE)  # Segment, Tracks, TrackEntry
_VIDEO, _MAPPING, _RECORD = 0xE0, 0x41E4, 0x41ED
_TRACK_TYPE, _IS_VIDEO = 0x83, 1
_PIXEL_CROPS = {0x54CC: "left", 0x54BB: "top", 0x54DD: "right", 0x54AA: "bottom"}
_EBML_MAX_LENGTH = 8

Span = tuple[int, int]
"""Where some content begins and ends, in bytes of the file."""
Walk = Callable[[BinaryIO, int, int], Iterator[tuple[Any, int, int]]]


@dataclass(frozen=True, slots=True)
class Crop:
    """Pixels of a decoded frame that are not shown, at each edge."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


WHOLE = Crop()


@dataclass(frozen=True, slots=True)
class Declared:
    """What a container says of one video track."""

    crop: Crop = WHOLE
    pixel_aspect: Fraction | None = None
    """Width of a pixel / its height, where FFmpeg's is of the frame before it is cropped."""


def read_declared(path: Path, container: Any, stream: Any) -> Declared:
    """Read from a file what its container says of a stream.

    Args:
        path: The file.
        container: PyAV's.
        stream: One of its video streams that FFmpeg can decode.

    Raises:
        SourceError: it is cropped to nothing or beyond its edges, or Dolby Vision without a base
            layer that can be shown.
        OSError: the file cannot be read.
    """
    family = set(container.format.name.split(","))
    size = (stream.codec_context.width, stream.codec_context.height)
    with path.open("rb") as handle:
        if family & {"mov", "mp4"}:
            declared, record = _of_mp4(handle, stream.id, size, path.name)
        elif family & {"matroska", "webm"}:
            declared, record = _of_matroska(handle, container.streams.video.index(stream))
        else:
            return Declared()
    _check_dolby_vision(record, path.name)
    if declared.crop != WHOLE:
        check_crop(declared.crop, size, path.name)
    return declared


def check_crop(crop: Crop, size: tuple[int, int], name: str) -> None:
    """Raise a SourceError where a crop leaves nothing of a frame, or reaches beyond it."""
    width, height = size
    edges = (crop.left, crop.top, crop.right, crop.bottom)
    if min(edges) < 0 or crop.left + crop.right >= width or crop.top + crop.bottom >= height:
        raise SourceError(
            f"{name} is to be cropped by {', '.join(map(str, edges))} pixels (left, top, right, "
            f"bottom), but its frames are {width}×{height}: it is damaged; re-encode it"
        )


def _check_dolby_vision(record: bytes, name: str) -> None:
    """Refuse colours that only a Dolby Vision decoder can make sense of."""
    if len(record) > _CROSS_COMPATIBLE:
        profile, compatible = record[2] >> 1, record[_CROSS_COMPATIBLE] >> 4
        if profile == 5 or (profile in (10, 20) and not compatible):  # noqa: PLR2004
            raise SourceError(
                f"{name} is Dolby Vision of profile {profile}, whose colours FFmpeg cannot convert "
                "(profiles with an HDR10, HLG or SDR base are read): export it as HDR10 or SDR"
            )


def _of_mp4(
    handle: BinaryIO, track: int, size: tuple[int, int], name: str
) -> tuple[Declared, bytes]:
    for trak in _descend(_boxes, handle, [_whole(handle)], b"moov", b"trak"):
        header = b"".join(_read(handle, span) for span in _descend(_boxes, handle, [trak], b"tkhd"))
        at = 20 if header[:1] == b"\1" else 12
        if int.from_bytes(header[at : at + 4], "big") == track:
            tables = _descend(_boxes, handle, [trak], b"mdia", b"minf", b"stbl", b"stsd")
            entry = _first_entry(handle, tables)
            shown = struct.unpack(">2I", header[-8:].rjust(8, b"\0"))
            record = next((entry[kind] for kind in _RECORDS if kind in entry), b"")
            return _clean_aperture(entry, shown, size, name), record
    return Declared(), b""


def _first_entry(handle: BinaryIO, tables: list[Span]) -> dict[Any, bytes]:
    """The boxes of the first sample entry, by type."""
    for start, end in tables:
        handle.seek(start + 8)  # version, flags, number of entries
        length = int.from_bytes(handle.read(4), "big")
        boxes = _boxes(handle, start + 8 + _SAMPLE_ENTRY, min(start + 8 + length, end))
        return {kind: _read(handle, (first, last)) for kind, first, last in boxes}
    return {}


def _clean_aperture(
    entry: dict[Any, bytes], shown: tuple[int, ...], size: tuple[int, int], name: str
) -> Declared:
    """Its edges in pixels, and the shape of a pixel inside it."""
    if len(clap := entry.get(b"clap", b"")) != 32:  # noqa: PLR2004
        return Declared()
    n = struct.unpack(">IIIIiIiI", clap)
    if 0 in n[1::2]:
        raise SourceError(f"{name} is to be cropped by n/0 pixels: it is damaged; re-encode it")
    width, height, right, down = (Fraction(n[i], n[i + 1]) for i in range(0, 8, 2))
    left, top = (size[0] - width) / 2 + right, (size[1] - height) / 2 + down
    edges = (left, top, size[0] - left - width, size[1] - top - height)
    return Declared(Crop(*map(round, edges)), _pixel_aspect(entry, shown, size, (width, height)))


def _pixel_aspect(
    entry: dict[Any, bytes],
    shown: tuple[int, ...],
    size: tuple[int, int],
    clean: tuple[Fraction, Fraction],
) -> Fraction | None:
    """FFmpeg takes it from the track's size, which may be that of the clean aperture."""
    across, down = struct.unpack(">2I", entry.get(b"pasp", b"").ljust(8, b"\0")[:8])
    if across and down:
        return Fraction(across, down)
    width, height = (Fraction(value, 1 << 16) for value in shown)
    if not width or not height or [width, height] == list(size) or 0 in clean:
        return None
    return (width / clean[0]) / (height / clean[1])


def _of_matroska(handle: BinaryIO, place: int) -> tuple[Declared, bytes]:
    """Of the video track that is the ``place``-th of the file."""
    tracks = []
    for track in _descend(_elements, handle, [_whole(handle)], *_TRACKS):
        kinds = _descend(_elements, handle, [track], _TRACK_TYPE)
        if [_number(handle, kind) for kind in kinds] == [_IS_VIDEO]:
            tracks.append(track)
    if place >= len(tracks):  # an attached picture
        return Declared(), b""
    (video, mapping) = (_descend(_elements, handle, [tracks[place]], k) for k in (_VIDEO, _MAPPING))
    crop = {
        edge: _number(handle, span)
        for kind, edge in _PIXEL_CROPS.items()
        for span in _descend(_elements, handle, video, kind)
    }
    records = _descend(_elements, handle, mapping, _RECORD)
    return Declared(Crop(**crop)), b"".join(_read(handle, span) for span in records[:1])


def _whole(handle: BinaryIO) -> Span:
    return 0, handle.seek(0, 2)


def _descend(walk: Walk, handle: BinaryIO, spans: list[Span], *kinds: Any) -> list[Span]:
    """Where the contents of all boxes or elements lie that a path of kinds leads to."""
    for wanted in kinds:
        found = (part for span in spans for part in walk(handle, *span))
        spans = [(start, end) for kind, start, end in found if kind == wanted]
    return spans


def _read(handle: BinaryIO, span: Span) -> bytes:
    handle.seek(span[0])
    return handle.read(min(span[1] - span[0], _MAX_FIELD))


def _number(handle: BinaryIO, span: Span) -> int:
    return int.from_bytes(_read(handle, span)[:8], "big")


def _boxes(handle: BinaryIO, offset: int, end: int) -> Iterator[tuple[Any, int, int]]:
    """Type, begin and end of the content of each box of a span."""
    while offset + 8 <= end:
        handle.seek(offset)
        header = handle.read(16)
        length, kind, start = int.from_bytes(header[:4], "big"), header[4:8], offset + 8
        if length == 1:
            length, start = int.from_bytes(header[8:16], "big"), offset + 16
        length = length or end - offset
        if length < start - offset or offset + length > end:
            return
        yield kind, start, offset + length
        offset += length


def _elements(handle: BinaryIO, offset: int, end: int) -> Iterator[tuple[Any, int, int]]:
    """Id, begin and end of the content of each EBML element of a span."""
    while offset < end:
        handle.seek(offset)
        header = handle.read(2 * _EBML_MAX_LENGTH)
        id_length = _vint_length(header[:1])
        size_length = _vint_length(header[id_length : id_length + 1])
        if not id_length or not size_length:
            return
        kind = int.from_bytes(header[:id_length], "big")
        unknown = (1 << 7 * size_length) - 1
        length = int.from_bytes(header[id_length : id_length + size_length], "big") & unknown
        offset += id_length + size_length
        last = end if length == unknown else min(end, offset + length)
        yield kind, offset, last
        offset = last


def _vint_length(first: bytes) -> int:
    return _EBML_MAX_LENGTH + 1 - first[0].bit_length() if first and first[0] else 0
