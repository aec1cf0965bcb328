"""Optical flow without weights: OpenCV's DIS (Kroeger et al., arXiv 1603.03590).

Protocols that use it have ``dis`` in their names; published figures stand on RAFT's.
Shape legend: F frames, T = F - 1 neighbouring pairs, H height, W width.
"""

from __future__ import annotations

import itertools

import numpy as np

from eval.errors import EvalError
from eval.images import Frames
from eval.warping import Flows

SMALLEST = 12
"""The least side that DIS takes, in pixels."""


def dis_flows(frames_FHWC: Frames) -> Flows:
    """The flow of each pair of neighbouring frames both ways, by DIS's medium preset.

    Args:
        frames_FHWC: (F, H, W, 3) uint8 RGB, F ≥ 2.

    Returns:
        Shapes (T, H, W, 2), float32, pixels.

    Raises:
        EvalError: one frame, or frames of under 12 pixels.
    """
    import cv2  # noqa: PLC0415 - names of protocols need none

    count, height, width, _ = frames_FHWC.shape
    if count < 2 or min(height, width) < SMALLEST:  # noqa: PLR2004 - a pair
        raise EvalError(
            f"the optical flow of {count} frame(s) of {width}x{height} pixels: it needs 2 frames "
            f"of {SMALLEST} pixels by side; raise video.num_frames, video.width and video.height"
        )
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames_FHWC]
    start = np.zeros((height, width, 2), np.float32)
    pairs = list(itertools.pairwise(grey))
    there = [dis.calc(one, other, start.copy()) for one, other in pairs]
    back = [dis.calc(other, one, start.copy()) for one, other in pairs]
    return Flows(
        forward_THW2=np.stack(there).astype(np.float32),
        backward_THW2=np.stack(back).astype(np.float32),
    )
