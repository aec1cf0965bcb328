"""Ogg's pages and YUV4MPEG2's frames.

Sources: RFC 3533 (Ogg); mjpegtools' yuv4mpeg(5).
"""

from __future__ import annotations

from typing import BinaryIO

from components.video.whole.pieces import BrokenError, CutError, Reader

_PAGE = 27
_FRAME = b"FRAME"
_LINE = 256
_Y4M_BITS = {"420": 12, "411": 12, "422": 16, "444": 24, "mono": 8}
"""Bits a pixel at 8 bits a sample, by the beginning of the colour space."""


def walk_ogg(handle: BinaryIO, size: int) -> None:
    """Follow the pages, which number themselves within their stream.

    Raises:
        CutError: the file ends within a page.
        BrokenError: no page follows another, or pages are missing.
    """
    reader = Reader(handle, size)
    offset, following = 0, dict[bytes, int]()
    while offset < size:
        header = reader.at(offset, _PAGE + 255)
        if not header.startswith(b"OggS"[: len(header)]):
            raise BrokenError(offset, "a page is needed")
        if len(header) < _PAGE or len(header) < _PAGE + header[26]:
            raise CutError(offset + max(_PAGE, len(header) + 1))
        stream, number = header[14:18], int.from_bytes(header[18:22], "little")
        if number != following.get(stream, number):
            raise BrokenError(offset, f"page {number} follows page {following[stream] - 1}")
        following[stream] = number + 1
        offset += _PAGE + header[26] + sum(header[_PAGE : _PAGE + header[26]])
    if offset > size:
        raise CutError(offset)


def walk_y4m(handle: BinaryIO, size: int) -> None:
    """Follow the frames, each a line and as many samples as the first line says.

    Raises:
        CutError: the file ends within a frame.
        BrokenError: no frame follows another, or the first line says nothing of the frames' size.
    """
    reader = Reader(handle, size)
    line = _line(reader, 0)
    length = _y4m_frame(line)
    if not length:
        raise BrokenError(0, "its first line gives no size that is known")
    offset = len(line)
    while offset < size:
        line = _line(reader, offset)
        if not line.startswith(_FRAME):
            raise BrokenError(offset, "the word FRAME is needed")
        offset += len(line) + length
    if offset > size:
        raise CutError(offset)


def _line(reader: Reader, offset: int) -> bytes:
    found, newline, _ = reader.at(offset, _LINE).partition(b"\n")
    if not newline:
        raise CutError(offset + len(found) + 1)
    return found + newline


def _y4m_frame(line: bytes) -> int:
    """Bytes of a frame's samples; 0 where that is not known."""
    fields = {word[:1]: word[1:] for word in line.decode("ascii", "replace").split()[1:]}
    try:
        width, height = int(fields["W"]), int(fields["H"])
    except (KeyError, ValueError):
        return 0
    space = fields.get("C", "420")
    kind = next((kind for kind in _Y4M_BITS if space.startswith(kind)), None)
    if kind is None or width < 1 or height < 1:
        return 0
    chroma_width = {"420": -(-width // 2), "411": -(-width // 4), "422": -(-width // 2)}
    chroma_height = -(-height // 2) if kind == "420" else height
    planes = width * height
    if kind != "mono":
        planes += 2 * chroma_width.get(kind, width) * chroma_height
    if space.startswith("444alpha"):
        planes += width * height
    depth = space.removeprefix(kind).removeprefix("p")  # 420p10, mono16, but 420paldv
    return planes * (2 if depth.isdigit() else 1)
