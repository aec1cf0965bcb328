"""One decoded frame as it is to be shown: upright, in square pixels, in RGB."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.video.orientation import UPRIGHT, Orientation, turned_once

if TYPE_CHECKING:
    import av
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    """(H, W, 3), uint8, RGB."""


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """One decoded frame and how to display it."""

    image: av.VideoFrame
    orientation: Orientation = UPRIGHT
    pixel_aspect: float = 1.0
    """Width of a pixel / its height."""

    def display_size(self) -> tuple[int, int]:
        """Width and height in square pixels, upright."""
        width = max(1, round(self.image.width * self.pixel_aspect))
        size = (width, self.image.height)
        return size[::-1] if self.orientation.transposed else size

    def scaled(self, width: int, height: int) -> Pixels:
        """The frame as displayed, scaled by swscale BILINEAR to (``height``, ``width``, 3)."""
        size = (height, width) if self.orientation.transposed else (width, height)
        scaled = self.image.reformat(
            width=size[0], height=size[1], format="rgb24", interpolation="BILINEAR", threads=1
        )
        upright: Pixels = self.orientation.upright(scaled.to_ndarray())
        return upright

    def reading(self) -> Iterator[str]:
        """Names of what ``scaled`` does that version 1 of the reader did not: see ``Probe``."""
        if self.orientation != turned_once(self.image):
            yield "flip"
