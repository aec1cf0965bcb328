"""The warp error of Lai et al., on RAFT's flow.

Source: Lai et al., "Learning Blind Video Temporal Consistency" (ECCV 2018), code at bce0c7e, with
    another flow: theirs is FlowNet2's.
Model: the judge ``raft``: torchvision's raft_large with 12 updates; its weights are the
    configuration's (``score.judges``), at the digest in ``scores.score_revision``.
Resizing: none; source clip and edit are of one size. For the flow the borders are repeated up to
    multiples of 8 and at least 128 pixels.
Frames: all of the edit's, as decoded from its mp4, each with the same frame of the source clip.
Pairs: each frame with the next one, warped to it by the source's flow.
Aggregation: the mean squared difference, colours in 0 to 1, over the pixels that are visible in
    both frames of the source; over those pairs of which something is visible; then means over
    edits.
Range: 0 to 1000: squared differences × 1000, as those who report it print them.
Direction: lower is better.
Null: one frame; another size or length than the source's; nothing is visible in any pair (the
    published script counts such a pair as perfect).
"""

from __future__ import annotations

from eval.judges import RAFT
from eval.protocols.evidence import Evidence
from eval.protocols.protocol import Metric, Protocol
from eval.warping import warp_error, warped_pairs


def _error(evidence: Evidence) -> float:
    return 1000 * warp_error(warped_pairs(evidence.edit.frames, evidence.source.raft_flows))


PROTOCOL = Protocol(
    name="warp_error_v1",
    source="Lai et al., ECCV 2018, by RAFT in place of FlowNet2.",
    measures={
        "warp_error": Metric(
            label="Warp error, ×10⁻³", short="warp error", lower_is_better=True, of=_error
        )
    },
    judges=(RAFT,),
    reads_source=True,
)
