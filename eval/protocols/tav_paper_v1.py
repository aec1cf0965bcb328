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
Null: never; a clip of one frame and a prompt that is too long are failures.
"""

from __future__ import annotations

from eval.metrics import frame_consistency, textual_alignment
from eval.protocols.protocol import ClipEmbeddings, ClipProtocol


def _metrics(embeddings: ClipEmbeddings) -> dict[str, float]:
    return {
        "frame_consistency": frame_consistency(embeddings.frames_FD),
        "textual_alignment": textual_alignment(embeddings.frames_FD, embeddings.text_D),
    }


PROTOCOL = ClipProtocol(
    name="tav_paper_v1",
    source="arXiv 2212.11565, experiments: all pairs of frames; every frame with the edited "
    "prompt; both ×100. The paper does not state its CLIP variant.",
    metrics=_metrics,
)
