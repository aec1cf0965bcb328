"""Background kept: LPIPS outside the mask of what was to be edited.

Source: PIE-Bench (PnPInversion at 07f97f4, evaluation/matrics_calculator.py) for the whole image's;
    the background's own is the same over its pixels alone.
Model: the judge ``lpips``: torchmetrics' LPIPS on SqueezeNet 1.1, PIE-Bench's network; its weights
    are the configuration's (``score.judges``), at the digest in ``scores.score_revision``.
Resizing: none; source clip, mask and edit are of one size.
Frames: as ``background_v1``.
Pairs: each frame with the source's, the region 0 in both.
Aggregation: ``lpips``: the layers' maps brought to the frames' size (bilinear) and summed, the mean
    over a frame's background pixels, then over frames. ``whole_lpips``, for comparison with figures
    made so: over all pixels of each layer's own map, region included, then over frames: the larger
    the region, the better. Frames without background are left out. Then means over edits.
Range: from 0.
Direction: lower is better.
Null: the video has no mask; the masks leave no background; frames of under 17 pixels.
"""

from __future__ import annotations

from eval.background import background_lpips, masked_images, whole_lpips
from eval.judges import LPIPS
from eval.protocols.evidence import Evidence, Masks
from eval.protocols.protocol import Metric, Protocol


def _of(evidence: Evidence, *, spatial: bool) -> float:
    background: Masks = evidence.source.background  # first: without it nothing need be decoded
    images = masked_images(evidence.source.frames, evidence.edit.frames, background)
    distances = evidence.judges.named(LPIPS).distances(*images, spatial=spatial)
    return (background_lpips if spatial else whole_lpips)(distances, background)


PROTOCOL = Protocol(
    name="background_lpips_v1",
    source="PIE-Bench (PnPInversion at 07f97f4): LPIPS on SqueezeNet, over the background alone "
    "and over the whole masked image, as there.",
    measures={
        "lpips": Metric(
            label="Background LPIPS",
            short="LPIPS",
            lower_is_better=True,
            of=lambda evidence: _of(evidence, spatial=True),
        ),
        "whole_lpips": Metric(
            label="Masked image LPIPS",
            short="whole LPIPS",
            lower_is_better=True,
            of=lambda evidence: _of(evidence, spatial=False),
        ),
    },
    judges=(LPIPS,),
    reads_source=True,
    reads_mask=True,
)
