"""Warp SSIM, as RAVE and those after it report it, on RAFT's flow.

Source: RAVE (arXiv 2312.04524), evaluation. Their RAFT is its authors' own code and weights.
Model: the judge ``raft``: torchvision's raft_large with 12 updates; its weights are the
    configuration's (``score.judges``), at the digest in ``scores.score_revision``.
Resizing: none; source clip and edit are of one size. For the flow the borders are repeated up to
    multiples of 8 and at least 128 pixels.
Frames: all of the edit's, as decoded from its mp4, each with the same frame of the source clip.
Pairs: each frame with the next one, warped to it by the source's flow.
Aggregation: SSIM × 100 over the pixels that are visible in both frames of the source, all others
    being 0 in both; over those pairs of which something is visible; then means over edits.
Range: -100 to 100.
Direction: higher is better.
Null: one frame; another size or length than the source's; nothing is visible in any pair.
"""

from __future__ import annotations

from eval.judges import RAFT
from eval.protocols.evidence import Evidence
from eval.protocols.protocol import Metric, Protocol
from eval.warping import warp_ssim


def _ssim(evidence: Evidence) -> float:
    return warp_ssim(evidence.edit.frames, evidence.source.raft_flows)


PROTOCOL = Protocol(
    name="warp_ssim_v1",
    source="arXiv 2312.04524 (RAVE), evaluation, by torchvision's RAFT.",
    measures={"warp_ssim": Metric(label="Warp SSIM", short="warp SSIM", whole=100, of=_ssim)},
    judges=(RAFT,),
    reads_source=True,
)
