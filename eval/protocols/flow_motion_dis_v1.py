"""Motion fidelity on tracks that are chained from a classical flow.

Source: Yatim et al. (arXiv 2311.17009), motion fidelity, both ways and with pauses (their code goes
    from edit to source alone, and takes CoTracker's tracks).
Model: none; OpenCV's DIS, medium preset (``eval.flow``).
Resizing: none.
Frames: all of the edit's, as decoded from its mp4, and all of the source clip's.
Pairs: each moving track of one clip with the most similar one of the other: the mean over time of
    the dot products of their steps' directions. Tracks begin on a grid of 16 points along the short
    side; a step of at most 0.25 pixels is a pause, and a track of pauses alone is left out.
Aggregation: the mean over a clip's moving tracks, then over both ways; then means over edits.
    ``still_share`` is the share of the edit's tracks that never move.
Range: fidelity -1 to 1; still share 0 to 1.
Direction: higher is better; lower of the still share, though all of a still clip's tracks are.
Null: one frame; another length than the source's; no track comes through, or moves.
"""

from __future__ import annotations

import numpy as np

from eval.chaining import chain
from eval.motion import MotionFidelity, Tracks, motion_fidelity
from eval.protocols.evidence import Clip, Evidence
from eval.protocols.protocol import Metric, Protocol

_ALONG = 16
"""Points along the short side."""
_STILL = 0.25
"""Pixels of a step that is none."""


def _compared(evidence: Evidence) -> MotionFidelity:
    edit, source = (_tracks(clip) for clip in (evidence.edit, evidence.source))
    return motion_fidelity(edit, source, still=_STILL)


def _tracks(clip: Clip) -> Tracks:
    short = min(clip.frames.shape[1:3])
    return chain(clip.dis_flows, spacing=max(1, short // _ALONG)).tracks_NF2


def _fidelity(evidence: Evidence) -> float:
    return _compared(evidence).both


def _still_share(evidence: Evidence) -> float:
    steps = np.diff(_tracks(evidence.edit), axis=1)
    return float((np.linalg.norm(steps, axis=-1) <= _STILL).all(axis=1).mean())


PROTOCOL = Protocol(
    name="flow_motion_dis_v1",
    source="arXiv 2311.17009, motion fidelity, both ways, on tracks chained from OpenCV's DIS.",
    measures={
        "motion_fidelity": Metric(label="Motion fidelity", short="motion", whole=1, of=_fidelity),
        "still_share": Metric(
            label="Still tracks", short="still", lower_is_better=True, of=_still_share
        ),
    },
    reads_source=True,
)
