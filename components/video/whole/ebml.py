"""Matroska and WebM: elements of an id and a size, both of variable length.

Sources: RFC 8794 (EBML), RFC 9559 (Matroska).
"""

from __future__ import annotations

from typing import BinaryIO

from components.video.whole.pieces import BrokenError, CutError, Reader

_MAX_LENGTH = 8
_DESCENDED = {0x18538067, 0x1F43B675, 0xA0}
"""Segment, Cluster and BlockGroup: what holds frames."""


def walk(handle: BinaryIO, size: int) -> None:
    """Follow the elements down to the frames.

    Raises:
        CutError: the file ends within an element.
        BrokenError: an element is longer than the one around it, or none follows another.
    """
    reader = Reader(handle, size)
    offset, ends = 0, [size]
    while offset < size:
        while len(ends) > 1 and offset >= ends[-1]:
            ends.pop()
        found = _element(reader, offset)
        if found is None:
            if len(ends) == 1:  # behind the last element
                return
            raise BrokenError(offset, "an element is needed")
        element, length, offset = found
        # "Until the end", as live recordings have it.
        end = ends[-1] if length is None else offset + length
        if end > size:
            raise CutError(end)
        if end > ends[-1]:
            raise BrokenError(offset, "an element is longer than what holds it")
        if element in _DESCENDED:
            ends.append(end)
        else:
            offset = end


def _element(reader: Reader, offset: int) -> tuple[int, int | None, int] | None:
    """Id, size if it is known, and where the content begins; none where there is no element."""
    header = reader.at(offset, 2 * _MAX_LENGTH)
    id_length = _vint_length(header[:1])
    size_length = _vint_length(header[id_length : id_length + 1])
    if len(header) < id_length + max(size_length, 1):
        raise CutError(offset + id_length + max(size_length, 1))
    if not id_length or not size_length:
        return None
    field = header[id_length : id_length + size_length]
    unknown = (1 << 7 * size_length) - 1
    length = int.from_bytes(field, "big") & unknown
    start = offset + id_length + size_length
    return int.from_bytes(header[:id_length], "big"), None if length == unknown else length, start


def _vint_length(first: bytes) -> int:
    """Bytes of a variable-length integer: one more than its leading zero bits; 0 if invalid."""
    return _MAX_LENGTH + 1 - first[0].bit_length() if first and first[0] else 0
