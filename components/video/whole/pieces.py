"""What all walks share: reading headers and counting pieces."""

from __future__ import annotations

from typing import BinaryIO

MAX_PIECES = 5_000_000
"""Pieces of one file: some seconds' work. A DVD has about as many."""


class CutError(Exception):
    """The file ends before its content does."""

    def __init__(self, needed: int) -> None:
        super().__init__(needed)
        self.needed = needed
        """Bytes that the file has at least when it is whole."""


class BrokenError(Exception):
    """Something else is where a piece should begin."""

    def __init__(self, offset: int, what: str) -> None:
        super().__init__(offset, what)
        self.offset = offset
        self.what = what


class Reader:
    """Reads the headers of pieces that follow each other."""

    def __init__(self, handle: BinaryIO, size: int) -> None:
        self._handle = handle
        self.size = size
        """Bytes of the file."""
        self._left = MAX_PIECES

    def header(self, offset: int, length: int) -> bytes:
        """The bytes of a piece's header.

        Raises:
            CutError: the file ends within them.
            BrokenError: these are too many pieces.
        """
        found = self.at(offset, length)
        if len(found) < length:
            raise CutError(offset + length)
        return found

    def at(self, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes; fewer at the file's end."""
        self._left -= 1
        if self._left < 0:
            raise BrokenError(offset, f"it has more than {MAX_PIECES} pieces")
        self._handle.seek(offset)
        return self._handle.read(length)
