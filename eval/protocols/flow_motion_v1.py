"""Motion fidelity on tracks that are chained from RAFT's flow.

Source: Yatim et al. (arXiv 2311.17009), motion fidelity, both ways and with pauses (their code goes
    from edit to source alone, and takes CoTracker's tracks).
Model: the judge ``raft``: torchvision's raft_large with 12 updates; its weights are the
    configuration's (``score.judges``), at the digest in ``scores.score_revision``.
Resizing: none. For the flow the borders are repeated up to multiples of 8 and at least 128 pixels.
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

from eval.flow_motion import flow_fidelity, still_share
from eval.judges import RAFT
from eval.protocols.evidence import Evidence
from eval.protocols.protocol import Metric, Protocol


def _fidelity(evidence: Evidence) -> float:
    return flow_fidelity(evidence.edit.raft_flows, evidence.source.raft_flows).both


def _still_share(evidence: Evidence) -> float:
    return still_share(evidence.edit.raft_flows)


PROTOCOL = Protocol(
    name="flow_motion_v1",
    source="arXiv 2311.17009, motion fidelity, both ways, on tracks chained from RAFT.",
    measures={
        "motion_fidelity": Metric(label="Motion fidelity", short="motion", whole=1, of=_fidelity),
        "still_share": Metric(
            label="Still tracks", short="still", lower_is_better=True, of=_still_share
        ),
    },
    judges=(RAFT,),
    reads_source=True,
)
