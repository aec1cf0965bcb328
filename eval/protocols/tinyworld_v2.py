"""The tiny world's truth: what its reader sees in the edit, against source clip and both prompts.

Source: eval/README.md of this project. For edits of tinyworld's clips alone.
Model: tinyworld's shipped reader, at the digest in ``scores.score_revision``.
Resizing: the reader's own.
Frames: all of the edit's, as decoded from its mp4, each with the same frame of the source clip.
Pairs: each thing of the edit with that of the source, frame by frame; flicker, drift and jitter:
    neighbouring frames.
Aggregation: over a clip's frames as eval/README.md says of each score; then means over edits.
Range: 0 to 100 in percent; ``motion_correlation`` -1 to 1; ``flicker`` 0 to 400 and ``jitter``
    from 0.
Direction: higher is better; lower of ``wrong_object_changed``, ``identity_drift``, ``flicker`` and
    ``jitter``.
Null: each score where it has no meaning (an edit that changes no word has no ``edited_right``).
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from eval.errors import UndefinedError
from eval.ground_truth import ground_truth
from eval.protocols.evidence import READER, Evidence
from eval.protocols.protocol import Metric, Protocol

_WITHOUT = MappingProxyType(
    {
        "edited_right": "the prompts differ in no word of the tiny world",
        "unedited_kept": "the edit changes all that there is, so nothing is to stay",
        "wrong_object_changed": "the edit does not change one of two things",
        "identity_kept": "the source's things are in no frame",
        "identity_drift": "no thing is in two neighbouring frames of both clips",
        "motion_correlation": "the source's things stand still or are not there",
        "jitter": "no thing is in two neighbouring frames of both clips",
    }
)
"""Why a score may have no meaning."""


def _of(name: str) -> Callable[[Evidence], float]:
    def measured(evidence: Evidence) -> float:
        edit, source = evidence.edit.reading, evidence.source.reading
        value = ground_truth(edit, source, evidence.source_prompt, evidence.prompt)[name]
        if value is None:
            raise UndefinedError(_WITHOUT[name])
        return value

    return measured


def _metric(
    name: str, label: str, short: str, *, whole: int | None = None, lower: bool = False
) -> Metric:
    return Metric(label=label, short=short, whole=whole, lower_is_better=lower, of=_of(name))


PROTOCOL = Protocol(
    name="tinyworld_v2",
    source="eval/README.md of this project: what the tiny world's reader sees in the edit, "
    "against its source clip and both prompts. Edits of tinyworld's clips alone.",
    measures={
        "edited_right": _metric("edited_right", "Edited right", "edited right", whole=100),
        "unedited_kept": _metric("unedited_kept", "Unedited kept", "unedited kept", whole=100),
        "wrong_object_changed": _metric(
            "wrong_object_changed", "Wrong object changed", "wrong changed", whole=100, lower=True
        ),
        "identity_kept": _metric("identity_kept", "Identity kept", "identity kept", whole=100),
        "identity_drift": _metric(
            "identity_drift", "Identity drift", "drift", whole=100, lower=True
        ),
        "motion_correlation": _metric("motion_correlation", "Motion correlation", "motion"),
        "flicker": _metric("flicker", "Flicker", "flicker", lower=True),
        "jitter": _metric("jitter", "Jitter, px", "jitter, px", lower=True),
    },
    judges=(READER,),
    reads_source=True,
)
"""Scores against what is known of tinyworld's clips, from a reader's words, places and details."""
