"""RAVE's CLIP-F and CLIP-T.

Source: arXiv 2312.04524, evaluation.
Model: the CLIP model of ``score.model``, at the revision in ``scores.score_revision``; projected
    embeddings. The paper's is ViT-B/32.
Resizing: none but the model's own preprocessing.
Frames: all of the edit's, as decoded from its mp4.
Pairs: consistency: all pairs i < j; alignment: every frame with the edited prompt.
Aggregation: the mean cosine over a clip's pairs (frames); then means over edits.
Range: -1 to 1.
Direction: higher is better.
Null: consistency of a clip of one frame; alignment with a prompt that is empty or too long.
"""

from __future__ import annotations

from eval.metrics import frame_consistency, textual_alignment
from eval.protocols.evidence import CLIP, Evidence
from eval.protocols.protocol import Metric, Protocol


def _consistency(evidence: Evidence) -> float:
    return frame_consistency(evidence.edit.embeddings) / 100


def _alignment(evidence: Evidence) -> float:
    # The prompt first: one that is too long need not cost a download.
    text_D = evidence.text
    return textual_alignment(evidence.edit.embeddings, text_D) / 100


PROTOCOL = Protocol(
    name="rave_v1",
    source="arXiv 2312.04524 (RAVE), evaluation: all pairs of frames and every frame with the "
    "edited prompt, as raw cosines. Its model is ViT-B/32.",
    measures={
        "frame_consistency": Metric(
            label="Frame consistency", short="consistency", whole=1, of=_consistency
        ),
        "textual_alignment": Metric(
            label="Textual alignment", short="alignment", whole=1, of=_alignment
        ),
    },
    judges=(CLIP,),
)
