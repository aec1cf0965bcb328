"""The tiny world's truth: what its reader sees in the edit, against source clip and both prompts.

Source: eval/README.md of this project. For edits of tinyworld's clips alone.
Model: tinyworld's shipped reader, at the digest in ``scores.score_revision``.
Resizing: the reader's own.
Frames: all of the edit's, as decoded from its mp4, each with the same frame of the source clip.
Pairs: the object of the edit with that of the source, frame by frame; flicker and jitter:
    neighbouring frames.
Aggregation: over a clip's frames as eval/README.md says of each score; then means over edits.
Range: 0 to 100 in percent; ``motion_correlation`` -1 to 1; ``flicker`` and ``jitter`` from 0.
Direction: higher is better; lower of ``flicker`` and ``jitter``.
Null: each score where it has no meaning (an edit that changes no word has no ``edited_right``).
"""

from __future__ import annotations

from eval.ground_truth import ground_truth
from eval.protocols.protocol import TruthProtocol

PROTOCOL = TruthProtocol(
    name="tinyworld_v1",
    source="eval/README.md of this project: what the tiny world's reader sees in the edit, "
    "against its source clip and both prompts. Edits of tinyworld's clips alone.",
    metrics=ground_truth,
)
