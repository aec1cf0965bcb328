"""FLV's tags and ASF's objects: a type and a size each.

Sources: Adobe Flash Video File Format Specification 10.1, annex E; Microsoft's ASF Specification.
"""

from __future__ import annotations

from typing import BinaryIO

from components.video.whole.pieces import BrokenError, CutError, Reader

_FLV_KINDS = {8, 9, 18}
"""Sound, video, script data."""
_FLV_HEADER = 11
_ASF_HEADER = 24
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_BROADCAST = 1


def walk_flv(handle: BinaryIO, size: int) -> None:
    """Follow the tags.

    Raises:
        CutError: the file ends within a tag.
        BrokenError: no tag follows another.
    """
    reader = Reader(handle, size)
    offset = int.from_bytes(reader.header(5, 4), "big") + 4
    while offset < size:
        header = reader.at(offset, 4)
        if header[0] & 0x1F not in _FLV_KINDS:
            if not header.strip(b"\0"):  # servers allot files in advance
                return
            raise BrokenError(offset, f"no tag is of kind {header[0]}")
        offset += _FLV_HEADER + int.from_bytes(header[1:4], "big") + 4
    if offset > size:
        raise CutError(offset)


def walk_asf(handle: BinaryIO, size: int) -> None:
    """Follow the outermost objects: header, data, indexes.

    Raises:
        CutError: the file ends within an object.
        BrokenError: an object's size is none.
    """
    reader = Reader(handle, size)
    live = _is_broadcast(reader)
    offset, frames = 0, False
    while offset + _ASF_HEADER <= size:
        header = reader.header(offset, _ASF_HEADER)
        length = int.from_bytes(header[16:], "little")
        if live and header[:16] == _ASF_DATA:
            return  # recorded by one who did not come back to say how much
        if length < _ASF_HEADER:
            if frames:  # what lies behind is no object, and harmless
                return
            raise BrokenError(offset, f"an object has {length} bytes")
        frames = frames or header[:16] == _ASF_DATA
        offset += length
    if offset > size:
        raise CutError(offset)


def _is_broadcast(reader: Reader) -> bool:
    end, offset = int.from_bytes(reader.header(16, 8), "little"), 30
    while offset + _ASF_HEADER <= min(end, reader.size):
        header = reader.at(offset, 92)
        if header[:16] == _ASF_FILE:
            return bool(int.from_bytes(header[88:], "little") & _BROADCAST)
        offset += max(_ASF_HEADER, int.from_bytes(header[16:24], "little"))
    return False
