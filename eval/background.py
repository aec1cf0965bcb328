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


def background_lpips(distances_FHW: npt.NDArray[np.floating[Any]], background_FHW: Mask) -> float:
    """LPIPS of the masked images over the background's pixels, the mean over them and then frames.

    Args:
        distances_FHW: The network's maps at the frames' size, shape (F, H, W).
        background_FHW: As of ``background_psnr``.

    Raises:
        EvalError: shapes differ, a map that is not finite, or there is no background.
    """
    _check_distances(distances_FHW, background_FHW, background_FHW.shape)
    found = [
        float(distances[kept].mean(dtype=np.float64))
        for distances, kept in zip(distances_FHW, background_FHW, strict=True)
        if kept.any()
    ]
    return float(np.mean(found))


def whole_lpips(distances_F: npt.NDArray[np.floating[Any]], background_FHW: Mask) -> float:
    """LPIPS of the whole masked images, the mean over frames (see the module).

    Args:
        distances_F: The network's distance of each frame, shape (F,).
        background_FHW: As of ``background_psnr``.

    Raises:
        EvalError: as of ``background_lpips``.
    """
    _check_distances(distances_F, background_FHW, background_FHW.shape[:1])
    return float(distances_F[background_FHW.any(axis=(1, 2))].mean(dtype=np.float64))


def masked_images(
    source_FHWC: Frames, edit_FHWC: Frames, background_FHW: Mask
) -> tuple[Floats, Floats]:
    """Both clips within [0, 1], 0 where they were to be edited: what LPIPS is given.

    Raises:
        EvalError: shapes differ, or there is no background.
    """
    sources, edits = _checked(source_FHWC, edit_FHWC, background_FHW)
    return sources * background_FHW[..., None], edits * background_FHW[..., None]


def _frames(
    source_FHWC: Frames, edit_FHWC: Frames, background_FHW: Mask
) -> Iterator[tuple[Floats, Floats, Mask]]:
    """Of each frame that has background: both images within [0, 1], and where it is."""
    sources, edits = _checked(source_FHWC, edit_FHWC, background_FHW)
    for source, edit, kept in zip(sources, edits, background_FHW, strict=True):
        if kept.any():
            yield source, edit, kept


def _checked(source_FHWC: Frames, edit_FHWC: Frames, background_FHW: Mask) -> tuple[Floats, Floats]:
    """Both clips within [0, 1], of one shape and of the mask's."""
    sources, edits = unit_frames(source_FHWC, "source"), unit_frames(edit_FHWC, "edit")
    if sources.shape != edits.shape or sources.shape[:3] != background_FHW.shape:
        raise EvalError(
            f"the source has shape {sources.shape}, the edit {edits.shape}, the masks "
            f"{background_FHW.shape}: frames and pixels must be as many"
        )
    if background_FHW.dtype != np.bool_:
        raise EvalError(f"masks are {background_FHW.dtype}, but true or false is needed")
    _some_background(background_FHW)
    return sources, edits


def _check_distances(
    distances: npt.NDArray[np.floating[Any]], background_FHW: Mask, shape: tuple[int, ...]
) -> None:
    if distances.shape != shape:
        raise EvalError(
            f"LPIPS' distances have shape {distances.shape}, but the masks {background_FHW.shape}"
        )
    if not np.isfinite(distances).all():
        raise EvalError("an LPIPS distance is NaN or infinite: check the network's weights")
    _some_background(background_FHW)


def _some_background(background_FHW: Mask) -> None:
    if not background_FHW.any():
        raise UndefinedError("the masks leave no background: all of every frame was to be edited")


def _decibels(error: float) -> float:
    if error == 0:
        raise UndefinedError(
            "the background equals the source's exactly, of which PSNR is infinite"
        )
    return -10 * math.log10(error)
