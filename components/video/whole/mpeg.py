"""MPEG's streams of packets.

Sources: ISO/IEC 13818-1 (systems of MPEG-2), ISO/IEC 11172-1 (of MPEG-1).
"""

from __future__ import annotations

from typing import BinaryIO

from components.video.containers import TS_SYNC, ts_packet
from components.video.whole.pieces import BrokenError, CutError, Reader

_CHUNK = 4096
"""Transport packets looked at together."""
_PREFIX = b"\0\0\x01"
_END, _PACK, _FIRST_PACKET = 0xB9, 0xBA, 0xBB
_MPEG2 = 0x40
_PES_HEADER = 6


def walk_transport(handle: BinaryIO, size: int) -> None:
    """Look for every packet's sync byte. A file that was cut between packets is whole.

    Raises:
        CutError: the file ends within a packet.
        BrokenError: a packet is needed where none is.
    """
    handle.seek(0)
    found = ts_packet(handle.read(_CHUNK))
    if found is None:
        raise BrokenError(0, "a packet is needed")
    length, before = found
    handle.seek(0)
    for start in range(0, size, _CHUNK * length):
        syncs = handle.read(_CHUNK * length)[before::length]
        good = len(syncs) - len(syncs.lstrip(bytes([TS_SYNC])))
        if good < len(syncs):
            raise BrokenError(start + good * length + before, "a packet's sync byte is needed")
    if size % length:
        raise CutError(size + length - size % length)


def walk_program(handle: BinaryIO, size: int) -> None:
    """Follow packs and packets.

    Raises:
        CutError: the file ends within a packet.
        BrokenError: a packet is needed where none is.
    """
    reader = Reader(handle, size)
    offset = 0
    while offset < size:
        header = reader.at(offset, 14)
        if len(header) >= 4 and header.startswith(_PREFIX) and header[3] >= _END:  # noqa: PLR2004
            offset += _packet_length(header)
        elif not header.rstrip(b"\0"):  # stuffing, as recorders and discs have it
            offset += len(header) if len(header) < 14 else 11  # noqa: PLR2004
        elif header[0] == 0 and _PREFIX in header:
            offset += header.index(_PREFIX)
        else:
            raise BrokenError(offset, "a packet is needed")
    if offset > size:
        raise CutError(offset)


def _packet_length(header: bytes) -> int:
    kind = header[3]
    if kind == _END:
        return 4
    if kind == _PACK:
        if header[4:5] and header[4] & 0xC0 == _MPEG2:
            return 14 + (header[13] & 7 if len(header) == 14 else 0)  # noqa: PLR2004
        return 12
    return _PES_HEADER + int.from_bytes(header[4:6], "big")
