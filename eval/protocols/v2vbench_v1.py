"""V2VBench's consistency and text metrics.

Source: wenhao728/awesome-diffusion-v2v at 20afc6f, the evaluators clip_consistency,
    dino_consistency, clip_text_alignment and pick_score.
Model: the judges ``openai_clip`` (openai/clip-vit-large-patch14), ``dinov2`` (facebook/dinov2-base)
    and ``pickscore`` (yuvalkirstain/PickScore_v1) at the revisions in ``scores.score_revision``.
    Consistency is on CLIP's embeddings before the projection and on DINOv2's class token.
Resizing: none but the models' own preprocessing: a wide frame loses its sides.
Frames: all of the edit's, as decoded from its mp4.
Pairs: consistency: each frame with the one before; the others: every frame with the edited prompt.
Aggregation: consistency: the mean of cosines that are clamped at 0; the others: the mean of the
    model's scale times the cosine; then means over edits.
Range: consistency 0 to 1, the others within the model's scale.
Direction: higher is better.
Null: consistency of a clip of one frame; the others with an empty prompt. One that is too long is
    cut off, as there.
"""

from __future__ import annotations

from eval.judges import DINOV2, OPENAI_CLIP, PICKSCORE
from eval.metrics import adjacent_consistency, scaled_alignment
from eval.protocols.evidence import Embedding, Evidence
from eval.protocols.protocol import Metric, Protocol
from eval.vision_models import Seen


def _seen(evidence: Evidence, judge: str) -> Seen:
    seen: Seen = evidence.edit.made(judge, evidence.judges.named(judge).see)
    return seen


def _clip(evidence: Evidence) -> float:
    return adjacent_consistency(_seen(evidence, OPENAI_CLIP).pooled_FD, clamped=True)


def _dino(evidence: Evidence) -> float:
    pooled: Embedding = evidence.edit.made(DINOV2, evidence.judges.named(DINOV2).see)
    return adjacent_consistency(pooled, clamped=True)


def _aligned(evidence: Evidence, judge: str) -> float:
    model = evidence.judges.named(judge)
    text_D = model.read(evidence.prompt, cut=True)
    return scaled_alignment(_seen(evidence, judge).projected_FD, text_D, model.scale)


PROTOCOL = Protocol(
    name="v2vbench_v1",
    source="wenhao728/awesome-diffusion-v2v at 20afc6f: neighbouring frames by CLIP before the "
    "projection and by DINOv2, text by CLIP and PickScore.",
    measures={
        "clip_consistency": Metric(
            label="CLIP consistency", short="CLIP consistency", whole=1, of=_clip
        ),
        "dino_consistency": Metric(
            label="DINO consistency", short="DINO consistency", whole=1, of=_dino
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
    judges=(OPENAI_CLIP, DINOV2, PICKSCORE),
)
