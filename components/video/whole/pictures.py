"""GIF's blocks and PNG's chunks.

Sources: CompuServe's GIF89a specification; W3C's PNG specification (third edition).
"""

from __future__ import annotations

from typing import BinaryIO

from components.video.whole.pieces import BrokenError, CutError, Reader

_TRAILER, _EXTENSION, _IMAGE = 0x3B, 0x21, 0x2C
_PNG_SIGNATURE = 8


def walk_gif(handle: BinaryIO, size: int) -> None:
    """Follow the blocks to the trailer, or to the end of a file that has none.

    Viewers show all of a file without its trailer, and do not read what lies behind it.

    Raises:
        CutError: the file ends within a block.
        BrokenError: no block follows another.
    """
    reader = Reader(handle, size)
    offset = 13 + _table(reader.header(10, 1)[0])
    while offset < size:
        kind = reader.header(offset, 1)[0]
        if kind == _TRAILER:
            return
        if kind == _IMAGE:
            offset += 11 + _table(reader.header(offset + 9, 1)[0])  # with the codes' length
        elif kind == _EXTENSION:
            offset += 2
        elif not kind:  # stray terminators, which viewers pass over
            offset += 1
            continue
        else:
            raise BrokenError(offset, f"no block is of kind {kind}")
        while length := reader.header(offset, 1)[0]:
            offset += 1 + length
        offset += 1
    if offset > size:
        raise CutError(offset)


def _table(flags: int) -> int:
    """Bytes of the colour table that a descriptor announces."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def walk_png(handle: BinaryIO, size: int) -> None:
    """Follow the chunks to the last; FFmpeg checks their sums.

    Raises:
        CutError: the file ends before its last chunk.
    """
    reader = Reader(handle, size)
    offset, kind = _PNG_SIGNATURE, b""
    while kind != b"IEND":
        header = reader.header(offset, 8)
        kind = header[4:]
        offset += 12 + int.from_bytes(header[:4], "big")
    if offset > size:
        raise CutError(offset)
