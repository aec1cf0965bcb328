"""Motion fidelity of two clips by their optical flow, whichever flow that is."""

from __future__ import annotations

import numpy as np

from eval.chaining import chain
from eval.motion import MotionFidelity, Tracks, motion_fidelity
from eval.warping import Flows

_ALONG = 16
"""Points of the tracks' grid along the short side."""
_STILL = 0.25
"""Pixels of a step that is none."""


def flow_fidelity(edit: Flows, source: Flows) -> MotionFidelity:
    """Motion fidelity on tracks that are chained from each clip's own flow.

    Raises:
        EvalError: clips of unequal length.
        UndefinedError: no track comes through, or moves.
    """
    return motion_fidelity(_tracks(edit), _tracks(source), still=_STILL)


def still_share(flows: Flows) -> float:
    """Share of a clip's tracks that never move, 0 to 1.

    Raises:
        UndefinedError: no track comes through.
    """
    steps = np.diff(_tracks(flows), axis=1)
    return float((np.linalg.norm(steps, axis=-1) <= _STILL).all(axis=1).mean())


def _tracks(flows: Flows) -> Tracks:
    short = min(flows.forward_THW2.shape[1:3])
    return chain(flows, spacing=max(1, short // _ALONG)).tracks_NF2
