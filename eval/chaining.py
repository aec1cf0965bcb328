"""Point tracks chained from optical flow: what motion fidelity takes where no tracker may be used.

Shape legend: N points, F frames, T = F - 1 pairs, H height, W width; the last axis is (x, y),
pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eval.errors import EvalError, UndefinedError
from eval.images import Floats
from eval.warping import Flows, astray, check_finite, sampled


@dataclass(frozen=True, kw_only=True, slots=True)
class Chained:
    """Points followed through a whole clip."""

    tracks_NF2: Floats
    """In the order of their rows, then columns, in the first frame."""
    lost: int
    """Points that left the picture or were hidden on the way."""


def chain(flows: Flows, *, spacing: int) -> Chained:
    """Follow a grid of the first frame's points from frame to frame.

    Points are ``spacing`` pixels apart, the first ``spacing // 2`` from the left and top border. A
    point moves by the forward flow where it is, bilinearly. It is lost for good where it leaves the
    picture, or where the backward flow does not lead back (``warping.astray``).

    Args:
        flows: Of the clip that is to be followed, shapes (T, H, W, 2), T ≥ 1.
        spacing: Pixels, at least 1.

    Raises:
        EvalError: other shapes, a flow that is not finite, or no point comes through.
    """
    forward, backward = flows.forward_THW2, flows.backward_THW2
    if forward.ndim != 4 or forward.shape[3] != 2 or 0 in forward.shape:  # noqa: PLR2004
        raise EvalError(
            f"the forward flow has shape {forward.shape}, but (pairs, height, width, 2) with none "
            "of them 0 is needed"
        )
    if forward.shape != backward.shape:
        raise EvalError(
            f"the forward flow has shape {forward.shape}, the backward flow {backward.shape}: "
            "both must be of the same pairs"
        )
    check_finite(flows)
    height, width = forward.shape[1:3]
    rows, columns = np.mgrid[spacing // 2 : height : spacing, spacing // 2 : width : spacing]
    points = np.stack([columns.ravel(), rows.ravel()], axis=-1).astype(np.float64)
    seen = np.ones(len(points), dtype=np.bool_)
    track = [points]
    for ahead, behind in zip(forward, backward, strict=True):
        step = sampled(ahead, points[:, 0], points[:, 1])
        points = points + step
        seen &= ((points >= 0) & (points <= (width - 1, height - 1))).all(axis=1)
        seen &= ~astray(step, sampled(behind, points[:, 0], points[:, 1]))
        track.append(points)
    if not seen.any():
        raise UndefinedError(
            f"none of {len(points)} point(s), {spacing} pixels apart, can be followed through all "
            f"{len(track)} frames: there is no track to compare"
        )
    return Chained(tracks_NF2=np.stack(track, axis=1)[seen], lost=int((~seen).sum()))
