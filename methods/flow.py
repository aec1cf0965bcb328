"""Optical flow between a clip's frames by OpenCV's DIS (Kroeger et al., arXiv 1603.03590).

It needs no weights. The official code's is RAFT, whose weights are pickles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from methods.method import Frames

SMALLEST = 12
"""The least side that DIS takes, in pixels."""
_TOLERANCE = 1.0
"""How far from its pixel a way there and back may end, in pixels."""

Vectors = NDArray[np.float32]
"""(F, H, W, 2), x and y in pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flow:
    """Where each pixel goes to in the frame after, or before; the last, or first, has none."""

    vectors: Vectors
    seen: NDArray[np.bool_]
    """(F, H, W), where the way there and back ends at its pixel."""


def optical_flow(frames: Frames) -> tuple[Flow, Flow]:
    """The flow to the next frame and to the former one, with what is consistent in both.

    Args:
        frames: (F, H, W, 3) uint8 RGB, of ``SMALLEST`` pixels or more by side.
    """
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    following, former = (np.zeros((*frames.shape[:3], 2), np.float32) for _ in range(2))
    seen, seen_before = (np.zeros(frames.shape[:3], np.bool_) for _ in range(2))
    initial: Any = None
    for i in range(len(frames) - 1):
        there = dis.calc(grey[i], grey[i + 1], initial)
        back = dis.calc(grey[i + 1], grey[i], initial)
        following[i], former[i + 1] = there, back
        seen[i], seen_before[i + 1] = consistent(there, back), consistent(back, there)
    return Flow(vectors=following, seen=seen), Flow(vectors=former, seen=seen_before)


def consistent(there: Vectors, back: Vectors) -> NDArray[np.bool_]:
    """Where one frame's flow and the other's lead back to the same pixel.

    Args:
        there: (H, W, 2) in pixels.
        back: likewise, of the frame that it leads to; outside of it there is none.
    """
    height, width = there.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    ends = np.stack([x, y], axis=-1) + there
    returned = cv2.remap(back, ends, None, cv2.INTER_LINEAR)  # type: ignore[call-overload]
    inside = ((ends >= 0) & (ends <= (width - 1, height - 1))).all(axis=-1)
    near: NDArray[np.bool_] = np.linalg.norm(there + returned, axis=-1) < _TOLERANCE
    return near & inside
