"""Matroska and WebM: elements of an id and a size, both of variable length.

Sources: RFC 8794 (EBML), RFC 9559 (Matroska).
"""

from __future__ import annotations

from typing import BinaryIO

from components.video.whole.pieces import CutError, Reader

_MAX_LENGTH = 8
_DESCENDED = {0x18538067, 0x1F43B675}
"""Segment and Cluster, whose elements are followed where their own size is unknown."""


def walk(handle: BinaryIO, size: int) -> None:
    """Follow the outermost elements, and those within where they do not tell their size.

    Raises:
        CutError: the file ends within an element.
    """
    reader = Reader(handle, size)
    offset = 0
    while offset < size:
        header = reader.at(offset, 2 * _MAX_LENGTH)
        id_length = _vint_length(header[:1])
        size_length = _vint_length(header[id_length : id_length + 1])
        if not id_length or not size_length:
            return  # no element: FFmpeg looks for the next
        if len(header) < id_length + size_length:
            raise CutError(offset + id_length + size_length)
        element = int.from_bytes(header[:id_length], "big")
        field = header[id_length : id_length + size_length]
        length = int.from_bytes(field, "big") & ((1 << 7 * size_length) - 1)
        offset += id_length + size_length
        if length == (1 << 7 * size_length) - 1:
            if element not in _DESCENDED:
                return
        else:
            offset += length
    if offset > size:
        raise CutError(offset)


def _vint_length(first: bytes) -> int:
    """Bytes of a variable-length integer: one more than its leading zero bits; 0 if invalid."""
    return _MAX_LENGTH + 1 - first[0].bit_length() if first and first[0] else 0
