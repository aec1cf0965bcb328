"""Tune-A-Video's automatic metrics, as its paper reports them.

Source: arXiv 2212.11565, experiments. The paper publishes no code of them and does not state its
    CLIP variant.
Model: the CLIP model of ``score.model``, at the revision in ``scores.score_revision``; projected
    embeddings.
Resizing: none but the model's own preprocessing.
Frames: all of the edit's, as decoded from its mp4.
Pairs: consistency: all pairs i < j; alignment: every frame with the edited prompt.
Aggregation: the mean cosine over a clip's pairs (frames), × 100; then means over edits.
Range: -100 to 100.
Direction: higher is better.
Null: consistency of a clip of one frame; alignment with a prompt that is empty or too long.
"""

from __future__ import annotations

from eval.metrics import frame_consistency, textual_alignment
from eval.protocols.evidence import CLIP, Evidence
from eval.protocols.protocol import Metric, Protocol


def _consistency(evidence: Evidence) -> float:
    return frame_consistency(evidence.edit.embeddings)


def _alignment(evidence: Evidence) -> float:
    # The prompt first: one that is too long need not cost a download.
    text_D = evidence.text
    return textual_alignment(evidence.edit.embeddings, text_D)


PROTOCOL = Protocol(
    name="tav_paper_v1",
    source="arXiv 2212.11565, experiments: all pairs of frames; every frame with the edited "
    "prompt; both ×100. The paper does not state its CLIP variant.",
    measures={
        "frame_consistency": Metric(
            label="Frame consistency", short="consistency", whole=100, of=_consistency
        ),
        "textual_alignment": Metric(
            label="Textual alignment", short="alignment", whole=100, of=_alignment
        ),
    },
    judges=(CLIP,),
)
