"""Tells a whole video file from a truncated one.

FFmpeg reads a cut-off webm, gif or mp4 to where it ends and reports no error, so a clip would be
drawn from the surviving part in silence. The outermost sizes of the container say how long it
should be.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from components.errors import SourceError

_MP4_CONTENT = {b"mdat", b"moov", b"moof"}
_EBML_UNKNOWN = {(1 << 7 * length) - 1 for length in range(1, 9)}
"""Sizes with all bits set mean "until the end": live recordings have them."""
_EBML_MAX_LENGTH = 8
_GIF_TRAILER = b";"


def check_whole(path: Path, container: str) -> None:
    """Compare the sizes that a container declares with the file's length.

    Args:
        path: A video file.
        container: ``mp4`` (also mov), ``webm`` (also Matroska) or ``gif``.

    Raises:
        SourceError: the file ends before its content does.
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as handle:
        end = {"mp4": _mp4_end, "webm": _webm_end, "gif": _gif_end}[container](handle, size)
    if end > size:
        raise SourceError(
            f"{path.name} is truncated: it has {size} bytes, but its {container} structure needs "
            f"at least {end}; copy or download it again"
        )


def _mp4_end(handle: BinaryIO, size: int) -> int:
    """Walk the top-level boxes: size (32 bits), type, and a 64-bit size when the first is 1."""
    offset = end = 0
    while offset + 8 <= size:
        handle.seek(offset)
        header = handle.read(16)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8:  # noqa: PLR2004 - 0 is "to the end of the file", 2 to 7 cannot be
            break
        offset += length
        if kind in _MP4_CONTENT:  # junk after the last box is harmless
            end = offset
    return end


def _webm_end(handle: BinaryIO, size: int) -> int:
    """Walk the top-level EBML elements: an id and a size of variable length each."""
    offset = 0
    while offset < size:
        handle.seek(offset)
        header = handle.read(2 * _EBML_MAX_LENGTH)
        id_length = _vint_length(header[:1])
        size_length = _vint_length(header[id_length : id_length + 1])
        if not id_length or not size_length:
            break
        field = header[id_length : id_length + size_length]
        length = int.from_bytes(field, "big") & ((1 << 7 * size_length) - 1)
        if length in _EBML_UNKNOWN:
            break
        offset += id_length + size_length + length
    return offset


def _vint_length(first: bytes) -> int:
    """Bytes of a variable-length integer: one more than its leading zero bits; 0 if invalid."""
    return _EBML_MAX_LENGTH + 1 - first[0].bit_length() if first and first[0] else 0


def _gif_end(handle: BinaryIO, size: int) -> int:
    handle.seek(max(0, size - 64))
    return size if handle.read().rstrip(b"\0\r\n ").endswith(_GIF_TRAILER) else size + 1
