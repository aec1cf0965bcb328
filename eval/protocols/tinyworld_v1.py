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

from collections.abc import Callable

from eval.errors import UndefinedError
from eval.ground_truth import ground_truth
from eval.protocols.evidence import READER, Evidence
from eval.protocols.protocol import Metric, Protocol


def _of(name: str, without: str = "") -> Callable[[Evidence], float]:
    """One of the five; ``without`` says why it may have no meaning."""

    def measured(evidence: Evidence) -> float:
        edit, source = evidence.edit.reading, evidence.source.reading
        value = ground_truth(edit, source, evidence.source_prompt, evidence.prompt)[name]
        if value is None:
            raise UndefinedError(without)
        return value

    return measured


PROTOCOL = Protocol(
    name="tinyworld_v1",
    source="eval/README.md of this project: what the tiny world's reader sees in the edit, "
    "against its source clip and both prompts. Edits of tinyworld's clips alone.",
    measures={
        "edited_right": Metric(
            label="Edited right",
            short="edited right",
            whole=100,
            of=_of("edited_right", "the prompts differ in no word of the tiny world"),
        ),
        "unedited_kept": Metric(
            label="Unedited kept",
            short="unedited kept",
            whole=100,
            of=_of("unedited_kept", "the edit changes all that there is, so nothing is to stay"),
        ),
        "motion_correlation": Metric(
            label="Motion correlation",
            short="motion",
            of=_of("motion_correlation", "the source's object stands still or is not there"),
        ),
        "flicker": Metric(
            label="Flicker", short="flicker", lower_is_better=True, of=_of("flicker")
        ),
        "jitter": Metric(
            label="Jitter, px",
            short="jitter, px",
            lower_is_better=True,
            of=_of("jitter", "the object is in no two neighbouring frames of both clips"),
        ),
    },
    judges=(READER,),
    reads_source=True,
)
