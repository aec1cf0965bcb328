"""AVI and WebP: chunks of a type and a size, some with chunks within.

Sources: Microsoft's AVI RIFF File Reference, OpenDML AVI 1.02, RFC 9649 (WebP).
"""

from __future__ import annotations

import re
from typing import BinaryIO

from components.video.whole.pieces import BrokenError, CutError, Reader

_HEADER = 8
_FRAMES = {b"movi", b"rec "}
_FOLLOWING = re.compile(rb"\d\d\w\w|ix\d\d|JUNK|LIST|idx1|rec ")
"""Names of chunks that follow frames."""
_UNFINISHED = {0, 0xFFFFFFFF}
"""Sizes that a recorder wrote which did not come back to say how much it had recorded."""


def walk_avi(handle: BinaryIO, size: int) -> None:
    """Follow the chunks, frame by frame.

    Raises:
        CutError: the file ends before its chunks.
        BrokenError: no chunk follows a frame.
    """
    reader = Reader(handle, size)
    offset = 0
    while reader.at(offset, 4) == b"RIFF":
        length = int.from_bytes(reader.header(offset, _HEADER)[4:], "little")
        if length in _UNFINISHED:
            return _chunks(reader, offset + _HEADER + 4, size)
        end = offset + _HEADER + length
        if end > size:
            raise CutError(end)
        _chunks(reader, offset + _HEADER + 4, end)
        offset = end + length % 2
    return None


def walk_webp(handle: BinaryIO, size: int) -> None:
    """As ``walk_avi``, of the one list that WebP is."""
    reader = Reader(handle, size)
    end = _HEADER + int.from_bytes(reader.header(0, _HEADER)[4:], "little")
    if end > size:
        raise CutError(end)
    _chunks(reader, _HEADER + 4, end)


def _chunks(reader: Reader, start: int, end: int) -> None:
    """Chunks that fill a list; those of lists of frames are met in their turn."""
    offset = start
    while offset + _HEADER <= end:
        header = reader.header(offset, min(12, end - offset))
        kind, length = header[:4], int.from_bytes(header[4:8], "little")
        if not _is_name(kind):
            raise BrokenError(offset, f"no chunk is called {kind!r}")
        if kind == b"LIST" and header[8:] in _FRAMES:
            offset += 12
            continue
        offset += _HEADER + length
        if offset > reader.size:
            raise CutError(offset)
        if offset > end:
            raise BrokenError(offset, f"the chunk {kind!r} is longer than what holds it")
        if length % 2:  # chunks begin at even bytes, but some writers do not know
            here, there = reader.at(offset, 5)[:4], reader.at(offset + 1, 4)
            offset += not _FOLLOWING.match(here) or bool(_FOLLOWING.match(there))


def _is_name(kind: bytes) -> bool:
    return all(0x20 <= letter < 0x7F for letter in kind)  # noqa: PLR2004 - ASCII's letters
