"""Edges by OpenCV's Canny, as ControlNet's authors make them: white on black, of all colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.config.control import CannyConfig

if TYPE_CHECKING:
    from components.controls.maps import Maps


class Canny:
    """See ``cv2.Canny``: of each pixel the colour with the strongest gradient counts."""

    def __init__(self, config: CannyConfig) -> None:
        self._config = config

    def __call__(self, frames: Maps) -> Maps:
        """Maps of a clip's frames: 255 on edges, else 0."""
        import cv2
        import numpy as np

        low, high = self._config.low, self._config.high
        edges = np.stack([cv2.Canny(np.ascontiguousarray(one), low, high) for one in frames])
        return edges[..., None].repeat(3, axis=-1).astype(np.uint8)
