"""One decoded frame as it is to be shown: cropped, upright, in square pixels, as opaque RGB."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from components.video.colour import (
    has_alpha,
    limited_grey,
    matrix_to_tell,
    opaque_sdr,
    shows_through,
    source_matrix,
    untagged_hd,
    wide,
)
from components.video.declared import WHOLE, Crop
from components.video.orientation import UPRIGHT, Orientation, turned_once

if TYPE_CHECKING:
    import av
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    """(H, W, 3), uint8, RGB."""

_IN_STEPS = {"alpha", "crop", "gamut", "grey", "hdr"}
"""What is done in steps of its own, some of them at the frame's own size. Other frames are
converted while they are scaled, as the official code does."""


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """One decoded frame and how to display it."""

    image: av.VideoFrame
    orientation: Orientation = UPRIGHT
    pixel_aspect: float = 1.0
    """Width of a pixel / its height."""
    crop: Crop = WHOLE
    """What is left out of the frame, before it is turned."""
    fields: Literal["", "tff", "bff"] = ""
    """Which field shows first, where the container knows that frames are interlaced and they do
    not say so themselves."""
    left_cut: bool = False
    """Whether the codec crops the left edge where version 1 of the reader did not."""

    padded: bool = False
    """Whether what looks like alpha only fills up the pixels' bytes."""

    @property
    def interlaced(self) -> bool:
        """Whether the frame's rows are of two moments."""
        return bool(self.fields) or self.image.interlaced_frame

    def display_size(self) -> tuple[int, int]:
        """Width and height in square pixels, cropped and upright."""
        width = self.image.width - self.crop.left - self.crop.right
        height = self.image.height - self.crop.top - self.crop.bottom
        size = (max(1, round(width * self.pixel_aspect)), height)
        return size[::-1] if self.orientation.transposed else size

    def scaled(self, width: int, height: int) -> Pixels:
        """The frame as displayed, scaled by swscale BILINEAR to (``height``, ``width``, 3)."""
        import av
        import numpy as np

        size = (height, width) if self.orientation.transposed else (width, height)
        image, matrix = self.image, matrix_to_tell(self.image)
        if set(self.reading()) & _IN_STEPS:
            whole = self.crop == WHOLE and not has_alpha(image)
            pixels = np.ascontiguousarray(
                opaque_sdr(image, size) if whole else self._cropped(opaque_sdr(image))
            )
            image, matrix = av.VideoFrame.from_ndarray(pixels, "rgb24"), None
        scaled = image.reformat(
            width=size[0],
            height=size[1],
            format="rgb24",
            src_colorspace=matrix,
            interpolation="BILINEAR",
            threads=1,
        )
        upright: Pixels = self.orientation.upright(scaled.to_ndarray())
        return upright

    def reading(self, known: Collection[str] = ()) -> Iterator[str]:
        """Names of what ``scaled`` does that version 1 of the reader did not: see ``Probe``.

        Args:
            known: Names that need not be found out.
        """
        if self.orientation != turned_once(self.image):
            yield "flip"
        if self.crop != WHOLE or self.left_cut:
            yield "crop"
        if self.interlaced:
            yield "deinterlace"
        if untagged_hd(self.image):
            yield "bt709" if source_matrix(self.image) == "ITU709" else "bt2020"
        if reduced := wide(self.image):
            yield reduced
        if limited_grey(self.image):
            yield "grey"
        if "alpha" not in known and not self.padded and shows_through(self.image):
            yield "alpha"

    def _cropped(self, pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        crop = self.crop
        return pixels[crop.top : height - crop.bottom, crop.left : width - crop.right]
