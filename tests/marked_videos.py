"""Marks in mp4 files that PyAV cannot be told to write."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1")


def turned(path: Path, matrix: Sequence[int]) -> Path:
    """Put the 2×2 part of a display matrix, in 16.16, into an mp4's only track header."""
    data = path.read_bytes()
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = matrix
    full = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000)
    path.write_bytes(data[:at] + full + data[at + 36 :])
    return path


def insert_box(path: Path, box: bytes) -> Path:
    """Put a box behind the others of the video's sample entry; the index must be last."""
    data = bytearray(path.read_bytes())
    entry = data.index(b"avc1", data.index(b"stsd")) - 4
    end = entry + int.from_bytes(data[entry : entry + 4], "big")
    at = 0
    for kind in PARENTS:
        at = data.index(kind, at) + 4
        size = int.from_bytes(data[at - 8 : at - 4], "big")
        data[at - 8 : at - 4] = (size + len(box)).to_bytes(4, "big")
    data[end:end] = box
    path.write_bytes(data)
    return path


def clap(width: Any, height: Any, right: Any = (0, 1), down: Any = (0, 1)) -> bytes:
    fields = struct.pack(">IIIIiIiI", *width, *height, *right, *down)
    return struct.pack(">I4s", 8 + len(fields), b"clap") + fields


def dovi(profile: int, compatible: int) -> bytes:
    """The Dolby Vision configuration record: version, profile, level, layers, compatibility."""
    bits = profile << 9 | 1 << 3 | 0b101
    record = struct.pack(">BBHB19x", 1, 0, bits, compatible << 4)
    return struct.pack(">I4s", 8 + len(record), b"dvcC" if profile < 8 else b"dvvC") + record
