"""Background kept: PSNR, SSIM and LPIPS outside the region that was to be edited.

Each in two ways. The masked mean is over background pixels alone. The whole image's, as PIE-Bench
(PnPInversion at 07f97f4) and FiVE have it, sets the region to 0 in both and is over all pixels,
region included: the larger the region, the better the figure. It is there to compare with theirs.
Frames without background are left out; a clip without any has no value.
Shape legend: F frames, H height, W width, C the three colours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.errors import EvalError, UndefinedError
from eval.images import Floats, Frames, ssim_map, unit_frames

Mask = npt.NDArray[np.bool_]


def background_psnr(source_FHWC: Frames, edit_FHWC: Frames, background_FHW: Mask) -> float:
    """PSNR in decibels of all background pixels of the clip together, of a range of 1.

    Together, as one black frame that was kept exactly would make a mean over frames infinite.

    Args:
        source_FHWC: Shape (F, H, W, 3), uint8 RGB.
        edit_FHWC: Likewise.
        background_FHW: True where nothing was to change, shape (F, H, W).

    Raises:
        EvalError: shapes differ, there is no background, or it is equal throughout (infinite).
    """
    squares, count = 0.0, 0
    for source, edit, kept in _frames(source_FHWC, edit_FHWC, background_FHW):
        squares += float(np.square(source - edit)[kept].sum())
        count += 3 * int(kept.sum())
    return _decibels(squares / count)


def background_ssim(source_FHWC: Frames, edit_FHWC: Frames, background_FHW: Mask) -> float:
    """SSIM about the background's pixels, the mean over them and then over frames.

    The region is 0 in both, so that what is in it does not reach pixels beside it.

    Args:
        source_FHWC: As of ``background_psnr``.
        edit_FHWC: Likewise.
        background_FHW: Likewise.

    Returns:
        At most 1.

    Raises:
        EvalError: shapes differ, there is no background, or frames are under 6 pixels.
    """
    found = [
        ssim_map(source * kept[..., None], edit * kept[..., None])[kept].mean()
        for source, edit, kept in _frames(source_FHWC, edit_FHWC, background_FHW)
    ]
    return float(np.mean(found))


def whole_psnr(source_FHWC: Frames, edit_FHWC: Frames, background_FHW: Mask) -> float:
    """PSNR of the whole masked images, the mean over frames (see the module).

    Raises:
        EvalError: shapes differ, there is no background, or a frame's is equal (infinite).
    """
    found = [
        _decibels(float(np.square((source - edit) * kept[..., None]).mean()))
        for source, edit, kept in _frames(source_FHWC, edit_FHWC, background_FHW)
    ]
    return float(np.mean(found))


def whole_ssim(source_FHWC: Frames, edit_FHWC: Frames, background_FHW: Mask) -> float:
    """SSIM of the whole masked images, the mean over frames (see the module).

    Raises:
        EvalError: as of ``background_ssim``.
    """
    found = [
        ssim_map(source * kept[..., None], edit * kept[..., None]).mean()
        for source, edit, kept in _frames(source_FHWC, edit_FHWC, background_FHW)
    ]
    return float(np.mean(found))


def background_lpips(
    distances_FHW: npt.NDArray[np.floating[Any]], background_FHW: Mask, *, whole: bool
) -> float:
    """LPIPS from its network's maps of the masked images, the mean over frames.

    Args:
        distances_FHW: At the frames' size, shape (F, H, W): the network's map before the mean.
        background_FHW: As of ``background_psnr``.
        whole: Whether the mean is over all pixels (see the module) and not the background's.

    Raises:
        EvalError: shapes differ, a map that is not finite, or there is no background.
    """
    if distances_FHW.shape != background_FHW.shape:
        raise EvalError(
            f"LPIPS maps have shape {distances_FHW.shape}, but the masks {background_FHW.shape}"
        )
    if not np.isfinite(distances_FHW).all():
        raise EvalError("an LPIPS map holds NaN or infinity: check the network's weights")
    _some_background(background_FHW)
    found = [
        float((distances if whole else distances[kept]).mean(dtype=np.float64))
        for distances, kept in zip(distances_FHW, background_FHW, strict=True)
        if kept.any()
    ]
    return float(np.mean(found))


def _frames(
    source_FHWC: Frames, edit_FHWC: Frames, background_FHW: Mask
) -> Iterator[tuple[Floats, Floats, Mask]]:
    """Of each frame that has background: both images within [0, 1], and where it is."""
    sources, edits = unit_frames(source_FHWC, "source"), unit_frames(edit_FHWC, "edit")
    if sources.shape != edits.shape or sources.shape[:3] != background_FHW.shape:
        raise EvalError(
            f"the source has shape {sources.shape}, the edit {edits.shape}, the masks "
            f"{background_FHW.shape}: frames and pixels must be as many"
        )
    if background_FHW.dtype != np.bool_:
        raise EvalError(f"masks are {background_FHW.dtype}, but true or false is needed")
    _some_background(background_FHW)
    for source, edit, kept in zip(sources, edits, background_FHW, strict=True):
        if kept.any():
            yield source, edit, kept


def _some_background(background_FHW: Mask) -> None:
    if not background_FHW.any():
        raise UndefinedError("the masks leave no background: all of every frame was to be edited")


def _decibels(error: float) -> float:
    if error == 0:
        raise UndefinedError(
            "the background equals the source's exactly, of which PSNR is infinite"
        )
    return -10 * math.log10(error)
