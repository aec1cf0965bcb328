"""LOVEU-TGVE-2023's automatic metrics.

Source: showlab/loveu-tgve-2023, scripts/run_eval.py.
Model: the judges ``openai_clip`` (openai/clip-vit-large-patch14) and ``pickscore``
    (yuvalkirstain/PickScore_v1) at the revisions in ``scores.score_revision``; projected
    embeddings.
Resizing: to 480×480 by PIL's default filter, then the model's own preprocessing.
Frames: all of the edit's, as decoded from its mp4 (the script reads JPEG).
Pairs: consistency: all pairs i < j; alignment and PickScore: every frame with the edited prompt.
Aggregation: consistency: the mean cosine, × 100; the others: the mean of the model's scale times
    the cosine, neither clamped nor a softmax; then means over edits.
Range: consistency -100 to 100, the others within the model's scale.
Direction: higher is better.
Null: consistency of a clip of one frame; the others with a prompt that is empty or too long, which
    is an error there too.
"""

from __future__ import annotations

import numpy as np

from eval.judges import OPENAI_CLIP, PICKSCORE
from eval.metrics import frame_consistency, scaled_alignment
from eval.protocols.evidence import Evidence, Frames
from eval.protocols.protocol import Metric, Protocol
from eval.vision_models import Seen

_SIDE = 480


def _resized(frames_FHWC: Frames) -> Frames:
    from PIL import Image  # noqa: PLC0415 - names of protocols need none

    sized = (Image.fromarray(frame).resize((_SIDE, _SIDE)) for frame in frames_FHWC)
    return np.stack([np.asarray(image) for image in sized])


def _seen(evidence: Evidence, judge: str) -> Seen:
    model = evidence.judges.named(judge)
    seen: Seen = evidence.edit.made(
        f"{judge} at {_SIDE}", lambda frames: model.see(_resized(frames))
    )
    return seen


def _consistency(evidence: Evidence) -> float:
    return frame_consistency(_seen(evidence, OPENAI_CLIP).projected_FD)


def _aligned(evidence: Evidence, judge: str) -> float:
    model = evidence.judges.named(judge)
    text_D = model.read(evidence.prompt, cut=False)
    return scaled_alignment(_seen(evidence, judge).projected_FD, text_D, model.scale)


PROTOCOL = Protocol(
    name="loveu_tgve_v1",
    source="showlab/loveu-tgve-2023, scripts/run_eval.py: CLIP ViT-L/14 and PickScore on frames of "
    "480×480.",
    measures={
        "frame_consistency": Metric(
            label="Frame consistency", short="consistency", whole=100, of=_consistency
        ),
        "textual_alignment": Metric(
            label="Textual alignment",
            short="alignment",
            of=lambda evidence: _aligned(evidence, OPENAI_CLIP),
        ),
        "pick_score": Metric(
            label="PickScore", short="PickScore", of=lambda evidence: _aligned(evidence, PICKSCORE)
        ),
    },
    judges=(OPENAI_CLIP, PICKSCORE),
)
