"""EditBoard's success rate.

Source: EditBoard (arXiv 2409.09668), code at 089075a.
Model: the CLIP model of ``score.model``, at the revision in ``scores.score_revision``; projected
    embeddings. The benchmark's is ViT-B/32.
Resizing: none but the model's own preprocessing.
Frames: all of the edit's, as decoded from its mp4.
Pairs: each frame with both prompts.
Aggregation: the share of a clip's frames that are at least as near to the edited prompt as to the
    source's; then means over edits.
Range: 0 to 1.
Direction: higher is better.
Null: a prompt that is empty or too long.
"""

from __future__ import annotations

from eval.metrics import frame_accuracy
from eval.protocols.evidence import CLIP, Evidence
from eval.protocols.protocol import Metric, Protocol


def _success(evidence: Evidence) -> float:
    source_D, target_D = evidence.source_text, evidence.text
    return frame_accuracy(evidence.edit.embeddings, source_D, target_D, ties=True)


PROTOCOL = Protocol(
    name="edit_success_v1",
    source="EditBoard (arXiv 2409.09668): the share of frames at least as near to the edited "
    "prompt as to the source's. Its model is ViT-B/32.",
    measures={"edit_success": Metric(label="Edit success", short="success", whole=1, of=_success)},
    judges=(CLIP,),
    reads_source=True,
)
