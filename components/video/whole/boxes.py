"""MP4 and QuickTime: boxes of a size, a type and boxes within.

Sources: ISO/IEC 14496-12 (ISO base media file format), Apple's QuickTime File Format.
"""

from __future__ import annotations

from typing import BinaryIO

from components.video.whole.pieces import BrokenError, CutError, Reader

_CONTENT = {b"mdat", b"moov", b"moof"}
_PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf", b"moof", b"traf"}
_HEADER = 8
_SELF_CONTAINED = 1
_MAX_REFERENCES = 100


def walk(handle: BinaryIO, size: int) -> None:
    """Follow the boxes of a file, and within its index those of each track.

    Raises:
        CutError: the file ends before its content.
        BrokenError: a box is longer than the one around it, or frames lie in another file.
    """
    reader = Reader(handle, size)
    offset = end = 0
    while offset + _HEADER <= size:
        length, kind, start = _box(reader, offset, size)
        if not length:  # no box: junk after the last one is harmless, FFmpeg finds out the rest
            break
        if kind in _PARENTS and offset + length <= size:
            _children(reader, start, offset + length)
        if kind == b"sidx" and offset + length <= size:
            end = max(end, offset + length + _indexed(reader, start))
        offset += length
        if kind in _CONTENT:
            end = max(end, offset)
    if end > size:
        raise CutError(end)


def _box(reader: Reader, offset: int, end: int) -> tuple[int, bytes, int]:
    """Length, type and where the content begins; length 0 for what is no box."""
    header = reader.at(offset, 16)
    length, kind = int.from_bytes(header[:4], "big"), header[4:8]
    if length == 0:  # to the end of the file
        return end - offset, kind, offset + _HEADER
    if length == 1:
        return max(0, int.from_bytes(header[8:16], "big")), kind, offset + 16
    return (length if length >= _HEADER else 0), kind, offset + _HEADER


def _children(reader: Reader, start: int, end: int) -> None:
    """Boxes that fill another, to any depth; QuickTime ends some with four zero bytes."""
    todo = [(start, end, False)]
    while todo:
        offset, end, moving = todo.pop()
        while offset + _HEADER <= end:
            length, kind, start = _box(reader, offset, end)
            if not length or offset + length > end:
                if reader.at(offset, 4) == bytes(4) and end - offset < 2 * _HEADER:
                    break
                raise BrokenError(offset, f"the box {kind!r} has {length} bytes, more than fit")
            if kind == b"hdlr":
                moving = moving or reader.at(start + 8, 4) == b"vide"
            elif kind == b"dref" and moving:
                _check_references(reader, start)
            elif kind in _PARENTS:
                todo.append((start, offset + length, moving))
            offset += length


def _check_references(reader: Reader, start: int) -> None:
    count = int.from_bytes(reader.at(start + 4, 4), "big")
    offset = start + 8
    for _ in range(min(count, _MAX_REFERENCES)):
        entry = reader.at(offset, 12)
        length = int.from_bytes(entry[:4], "big")
        if length > len(entry) == 12 and not entry[11] & _SELF_CONTAINED:  # noqa: PLR2004
            raise BrokenError(offset, "its frames lie in another file, which is not opened")
        offset += max(_HEADER, length)


def _indexed(reader: Reader, start: int) -> int:
    """Bytes after a segment index that it speaks of, as far as they follow each other."""
    wide = bool(reader.at(start, 1)[0])
    fields = reader.at(start + 12, 20 if wide else 12)
    first = int.from_bytes(fields[8:16] if wide else fields[4:8], "big")
    count = int.from_bytes(fields[-2:], "big")
    entries = reader.at(start + 12 + len(fields), 12 * count)
    sizes = (int.from_bytes(entries[at : at + 4], "big") for at in range(0, len(entries), 12))
    return first + sum(size & 0x7FFFFFFF for size in sizes)
