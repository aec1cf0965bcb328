"""FateZero's Tem-Con and Fram-Acc.

Source: arXiv 2303.09535, experiments. The paper calls its CLIP by name alone.
Model: the CLIP model of ``score.model``, at the revision in ``scores.score_revision``; projected
    embeddings. Those who report it take ViT-B/32.
Resizing: none but the model's own preprocessing.
Frames: all of the edit's, as decoded from its mp4.
Pairs: consistency: each frame with the one before; accuracy: each frame with both prompts.
Aggregation: the mean cosine over a clip's pairs, not clamped; the percentage of a clip's frames
    that are nearer to the edited prompt than to the source's, a tie being none; then means over
    edits.
Range: consistency -1 to 1, accuracy 0 to 100.
Direction: higher is better.
Null: consistency of a clip of one frame; accuracy with a prompt that is empty or too long.
"""

from __future__ import annotations

from eval.metrics import adjacent_consistency, frame_accuracy
from eval.protocols.evidence import CLIP, Evidence
from eval.protocols.protocol import Metric, Protocol


def _consistency(evidence: Evidence) -> float:
    return adjacent_consistency(evidence.edit.embeddings, clamped=False)


def _accuracy(evidence: Evidence) -> float:
    source_D, target_D = evidence.source_text, evidence.text
    return 100 * frame_accuracy(evidence.edit.embeddings, source_D, target_D, ties=False)


PROTOCOL = Protocol(
    name="fatezero_v1",
    source="arXiv 2303.09535 (FateZero), experiments: neighbouring frames, and the share of frames "
    "nearer to the edited prompt than to the source's.",
    measures={
        "temporal_consistency": Metric(
            label="Temporal consistency", short="consistency", whole=1, of=_consistency
        ),
        "frame_accuracy": Metric(label="Frame accuracy", short="accuracy", whole=100, of=_accuracy),
    },
    judges=(CLIP,),
    reads_source=True,
)
