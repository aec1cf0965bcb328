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
Null: never; a clip of one frame and a prompt that is too long are failures.
"""

from __future__ import annotations

from eval.metrics import frame_consistency, textual_alignment
from eval.protocols.protocol import ClipEmbeddings, ClipProtocol


def _metrics(embeddings: ClipEmbeddings) -> dict[str, float]:
    consistency = frame_consistency(embeddings.frames_FD)
    alignment = textual_alignment(embeddings.frames_FD, embeddings.text_D)
    return {"frame_consistency": consistency / 100, "textual_alignment": alignment / 100}


PROTOCOL = ClipProtocol(
    name="rave_v1",
    source="arXiv 2312.04524 (RAVE), evaluation: all pairs of frames and every frame with the "
    "edited prompt, as raw cosines. Its model is ViT-B/32.",
    metrics=_metrics,
    whole=1.0,
)
