"""Frames as the measures on pixels take them, and SSIM's map.

Shape legend: F frames, H height, W width, C the three colours.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eval.errors import EvalError

Frames = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

_REACH = 5
"""Pixels that SSIM's window of 11 reaches beyond its centre."""


def unit_frames(frames_FHWC: Frames, whose: str) -> Floats:
    """Frames within [0, 1], float64, of unchanged shape.

    Args:
        frames_FHWC: Shape (F, H, W, 3), uint8 RGB.
        whose: What a message calls the clip, such as ``edit``.

    Raises:
        EvalError: another type or shape.
    """
    if frames_FHWC.dtype != np.uint8 or frames_FHWC.ndim != 4 or frames_FHWC.shape[3] != 3:  # noqa: PLR2004
        raise EvalError(
            f"frames of the {whose} are {frames_FHWC.dtype} of shape {frames_FHWC.shape}, but "
            "uint8 of shape (frames, height, width, 3) is needed"
        )
    if 0 in frames_FHWC.shape:
        raise EvalError(f"the {whose} has shape {frames_FHWC.shape}: there is nothing to measure")
    return frames_FHWC / 255.0


def ssim_map(one_HWC: Floats, other_HWC: Floats) -> Floats:
    """SSIM about each pixel, the mean over colours: shape (H, W).

    torchmetrics' SSIM: Gaussian window of 11 pixels, sigma 1.5, k1 0.01, k2 0.03, range 1,
    reflected at the border (Wang et al. 2004 leave the border out).

    Args:
        one_HWC: Shape (H, W, 3), within [0, 1].
        other_HWC: Likewise.

    Raises:
        EvalError: an image of under 6 pixels, which cannot be reflected.
    """
    import torch  # noqa: PLC0415 - seconds that only a scorer pays
    from torchmetrics.functional.image import (  # noqa: PLC0415
        structural_similarity_index_measure,
    )

    if min(one_HWC.shape[:2]) <= _REACH:
        raise EvalError(
            f"SSIM of frames of {one_HWC.shape[1]}×{one_HWC.shape[0]} pixels: its window needs at "
            f"least {_REACH + 1} each way"
        )
    first, second = (
        torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
        for image in (one_HWC, other_HWC)
    )
    _, whole = structural_similarity_index_measure(
        first, second, data_range=1.0, return_full_image=True
    )
    found: Floats = whole[0].mean(dim=0).numpy()
    return found
