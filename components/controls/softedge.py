"""Soft edges by OpenCV: how steep the picture is, on one scale for the whole clip.

What nets for HED or PIDI edges are shown resembles it, but was made by a network of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from components.controls.maps import Maps

_SIGMA = 1.0
"""Of the Gaussian before it, in pixels."""
_TOP = 99.5
"""Percentile of the clip's gradients that is white."""


def soft_edges(frames: Maps) -> Maps:
    """Maps of a clip's frames: of each pixel the strongest colour's Scharr gradient."""
    import cv2
    import numpy as np

    steep = np.empty(frames.shape[:3], np.float32)
    for place, frame in enumerate(frames):
        smooth = cv2.GaussianBlur(frame.astype(np.float32), (0, 0), _SIGMA)
        across, down = (cv2.Scharr(smooth, cv2.CV_32F, 1 - axis, axis) for axis in (0, 1))
        steep[place] = np.sqrt(across**2 + down**2).max(axis=-1)
    top = float(np.percentile(steep, _TOP))
    scaled = np.clip(steep / top, 0, 1) if top > 0 else np.zeros_like(steep)
    return np.rint(255 * scaled).astype(np.uint8)[..., None].repeat(3, axis=-1)
