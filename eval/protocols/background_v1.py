"""Background kept: PSNR and SSIM outside the mask of what was to be edited.

Source: PIE-Bench (PnPInversion at 07f97f4, evaluation/matrics_calculator.py) for the whole image's;
    the background's own are the same measures over its pixels alone.
Model: none.
Resizing: none; source clip, mask and edit are of one size.
Frames: all of the edit's, as decoded from its mp4, each with the same frame of the source clip and
    of its mask, which is cut at half of its range after it was brought to the clip's size. Bars of
    ``video.fit`` pad are background.
Pairs: each frame with the source's.
Aggregation: ``psnr``: of all background pixels of the clip together; ``ssim``: the mean about a
    frame's background pixels, then over frames. ``whole_psnr`` and ``whole_ssim``, for comparison
    with figures made so: the region is 0 in both images, and the mean is over all pixels, region
    included, then over frames: the larger the region, the better. Frames without background are
    left out. Then means over edits.
Range: PSNR in decibels, of a range of 1; SSIM at most 1.
Direction: higher is better.
Null: the video has no mask; the masks leave no background; PSNR of a background (a frame) that is
    equal throughout; SSIM of frames of under 6 pixels.
"""

from __future__ import annotations

from collections.abc import Callable

from eval.background import Mask, background_psnr, background_ssim, whole_psnr, whole_ssim
from eval.protocols.evidence import Evidence, Frames
from eval.protocols.protocol import Metric, Protocol


def _of(measure: Callable[[Frames, Frames, Mask], float]) -> Callable[[Evidence], float]:
    def measured(evidence: Evidence) -> float:
        background = evidence.source.background  # first: without it nothing need be decoded
        return measure(evidence.source.frames, evidence.edit.frames, background)

    return measured


PROTOCOL = Protocol(
    name="background_v1",
    source="PIE-Bench (PnPInversion at 07f97f4), over the background alone and over the whole "
    "masked image, as there.",
    measures={
        "psnr": Metric(label="Background PSNR, dB", short="PSNR, dB", of=_of(background_psnr)),
        "ssim": Metric(label="Background SSIM", short="SSIM", whole=1, of=_of(background_ssim)),
        "whole_psnr": Metric(
            label="Masked image PSNR, dB", short="whole PSNR, dB", of=_of(whole_psnr)
        ),
        "whole_ssim": Metric(
            label="Masked image SSIM", short="whole SSIM", whole=1, of=_of(whole_ssim)
        ),
    },
    reads_source=True,
    reads_mask=True,
)
