"""Clips at the room's border: uint8 RGB frames in, uint8 RGB frames out."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_LEVELS = 255


def to_model_range(frames_FHWC: NDArray[np.uint8]) -> Tensor:
    """Turn 8-bit frames into what the VAE reads.

    Args:
        frames_FHWC: (F, H, W, 3) uint8 RGB.

    Returns:
        (F, 3, H, W) fp32 on the CPU, 0..255 mapped to -1..1.

    Raises:
        ValueError: another dtype or shape.
    """
    if frames_FHWC.dtype != np.uint8 or frames_FHWC.ndim != 4 or frames_FHWC.shape[-1] != 3:  # noqa: PLR2004
        msg = (
            f"frames are {frames_FHWC.dtype} of shape {frames_FHWC.shape}; "
            "they must be uint8 of shape (frames, height, width, 3)."
        )
        raise ValueError(msg)
    x = torch.from_numpy(np.ascontiguousarray(frames_FHWC)).permute(0, 3, 1, 2)
    return x.float() / (_LEVELS / 2) - 1


def to_uint8(video_FCHW: Tensor) -> NDArray[np.uint8]:
    """Turn decoded frames into 8-bit ones, rounded (truncated, they would be half a level dark).

    Args:
        video_FCHW: (F, 3, H, W), 0..1; values outside are clipped.

    Returns:
        (F, H, W, 3) uint8 RGB.
    """
    levels = (video_FCHW.float().clamp(0, 1) * _LEVELS).round().to(torch.uint8)
    out: NDArray[np.uint8] = levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return out
