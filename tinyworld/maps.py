"""Control maps of stills: what the tiny world's own nets are shown, in training and in runs alike.

Edges are made by the very maker that runs use (`components.controls.canny`); depth is the truth of
who is in front (`tinyworld.draw.Clip.near`), which runs read from files.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.uint8]
"""(N, H, W, 3) RGB."""


def canny(frames: Frames) -> Frames:
    """Edges of frames, white on black, with the thresholds that are runs' default."""
    return _canny()(np.ascontiguousarray(frames))


@functools.cache
def _canny() -> Callable[[Frames], Frames]:
    from components.config.control import CannyConfig  # noqa: PLC0415 - the pipeline's own
    from components.controls.canny import Canny  # noqa: PLC0415

    return Canny(CannyConfig())


def depth(near: npt.NDArray[np.uint8]) -> Frames:
    """Maps of depth (N, H, W) as pictures of three equal colours."""
    return near[..., None].repeat(3, axis=-1)
