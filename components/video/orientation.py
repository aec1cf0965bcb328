"""How decoded frames are turned and mirrored to be shown."""

from __future__ import annotations

import io
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.errors import SourceError

if TYPE_CHECKING:
    import av

_MATRIX = struct.Struct("<9i")
_TOLERANCE = math.tan(math.radians(1))
"""Matrices are written with rounding: what is closer than a degree to a quarter turn is one."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight ways to lay a rectangle on another: transposed first, then mirrored."""

    transposed: bool = False
    """Rows become columns."""
    mirrored: bool = False
    """Left and right are exchanged."""
    flipped: bool = False
    """Top and bottom are exchanged."""

    def upright(self, pixels: Any) -> Any:
        """Turn an array (H, W, …) as it is to be shown: (W, H, …) if transposed."""
        turned = pixels.swapaxes(0, 1) if self.transposed else pixels
        across = slice(None, None, -1 if self.mirrored else 1)
        down = slice(None, None, -1 if self.flipped else 1)
        return turned[down, across]


UPRIGHT = Orientation()
_QUARTER_TURNS = (
    UPRIGHT,
    Orientation(transposed=True, flipped=True),
    Orientation(mirrored=True, flipped=True),
    Orientation(transposed=True, mirrored=True),
)
"""By the number of quarter turns counter-clockwise."""


_BY_EXIF = {
    1: UPRIGHT,
    2: Orientation(mirrored=True),
    3: Orientation(mirrored=True, flipped=True),
    4: Orientation(flipped=True),
    5: Orientation(transposed=True),
    6: Orientation(transposed=True, mirrored=True),
    7: Orientation(transposed=True, mirrored=True, flipped=True),
    8: Orientation(transposed=True, flipped=True),
}


def read_orientation(image: av.VideoFrame, packet: Any, name: str) -> Orientation | None:
    """What a frame's display matrix says, from its container or its codec; none without one.

    Args:
        image: The frame.
        packet: What it was decoded from.
        name: The file's, for the message.

    Raises:
        SourceError: it turns by another angle than a multiple of 90 degrees, or shears.
    """
    from av.sidedata.sidedata import SideDataContainer

    listed: Any = SideDataContainer
    try:
        # Not `image.side_data`: that and the frame would hold each other until garbage collection.
        found = listed(image)
        data = next((bytes(part) for part in found if part.type.name == "DISPLAYMATRIX"), b"")
    except ValueError:  # PyAV lists none where there is data of a kind that it does not know: EXIF
        return _exif_orientation(bytes(packet)) or turned_once(image)
    if len(data) != _MATRIX.size:
        return None
    a, b, _, c, d, *_ = _MATRIX.unpack(data)  # x' = ax + cy, y' = bx + dy (and a shift)
    if a * d == b * c:  # shows nothing: written by mistake, and passed over by all players
        return None
    if abs(b) <= _TOLERANCE * abs(a) and abs(c) <= _TOLERANCE * abs(d):
        return Orientation(mirrored=a < 0, flipped=d < 0)
    if abs(a) <= _TOLERANCE * abs(b) and abs(d) <= _TOLERANCE * abs(c):
        return Orientation(transposed=True, mirrored=c < 0, flipped=b < 0)
    degrees = math.degrees(math.atan2(b, a))
    raise SourceError(
        f"{name} is to be shown turned by {degrees:.0f} degrees or sheared, but only multiples of "
        "90 degrees and mirrors are supported: re-encode it upright"
    )


def turned_once(image: av.VideoFrame) -> Orientation:
    """The orientation in which version 1 of the reader showed a frame: without mirrors."""
    return _QUARTER_TURNS[round(image.rotation / 90) % 4]


def _exif_orientation(picture: bytes) -> Orientation | None:
    from PIL import ExifTags, Image

    try:
        with Image.open(io.BytesIO(picture), formats=("JPEG", "PNG", "WEBP")) as opened:
            return _BY_EXIF.get(opened.getexif().get(ExifTags.Base.Orientation, 1))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
