"""Metrics on embeddings: arrays in, one number out.

Shape legend: F frames, D embedding width. Embeddings may have any length and float type; each is
normalised here, in float64, so that a cosine's error stays below 1e-6 of a point.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eval.errors import EvalError

Embeddings = npt.NDArray[np.floating[Any]]


def frame_consistency(frames_FD: Embeddings) -> float:
    """Mean cosine over all pairs of frames i < j, times 100 (arXiv 2212.11565, experiments).

    Args:
        frames_FD: Image embeddings, shape (F, D), F ≥ 2.

    Returns:
        A value within [-100, 100]; 100 for identical frames.

    Raises:
        EvalError: fewer than two frames, another shape, or an embedding that is zero or not finite.
    """
    unit_FD = _normalised(frames_FD, "frame", ndim=2)
    frames = len(unit_FD)
    if frames < 2:  # noqa: PLR2004 - a pair
        raise EvalError(
            f"frame consistency of {frames} frame(s): it compares pairs of frames, so a clip needs "
            "at least 2; raise video.num_frames"
        )
    cosines_FF = unit_FD @ unit_FD.T
    return 100 * float(cosines_FF[np.triu_indices(frames, k=1)].mean())


def textual_alignment(frames_FD: Embeddings, text_D: Embeddings) -> float:
    """Mean cosine of every frame with the prompt, times 100 (arXiv 2212.11565, experiments).

    Args:
        frames_FD: Image embeddings, shape (F, D), F ≥ 1.
        text_D: The edited prompt's embedding, shape (D,).

    Returns:
        A value within [-100, 100].

    Raises:
        EvalError: no frame, other shapes, or an embedding that is zero or not finite.
    """
    unit_FD = _normalised(frames_FD, "frame", ndim=2)
    unit_D = _normalised(text_D, "text", ndim=1)
    if unit_FD.shape[1] != unit_D.shape[0]:
        raise EvalError(
            f"frame embeddings have {unit_FD.shape[1]} values, but the text embedding has "
            f"{unit_D.shape[0]}: take both from one model"
        )
    return 100 * float((unit_FD @ unit_D).mean())


def _normalised(embeddings: Embeddings, kind: str, *, ndim: int) -> npt.NDArray[np.float64]:
    wide = np.asarray(embeddings, dtype=np.float64)
    if wide.ndim != ndim or 0 in wide.shape:
        wanted = "(frames, width)" if ndim == 2 else "(width,)"  # noqa: PLR2004
        raise EvalError(
            f"{kind} embeddings have shape {wide.shape}, but {wanted} with none of them 0 is needed"
        )
    if not np.isfinite(wide).all():
        raise EvalError(
            f"a {kind} embedding holds NaN or infinity, so no score follows from it: "
            "check the model's weights and its dtype"
        )
    # Scale first: squares of tiny or huge values would under- or overflow.
    largest = np.abs(wide).max(axis=-1, keepdims=True)
    if (largest == 0).any():
        raise EvalError(
            f"a {kind} embedding is zero and has no direction: check the model's weights"
        )
    wide = wide / largest
    unit: npt.NDArray[np.float64] = wide / np.linalg.norm(wide, axis=-1, keepdims=True)
    return unit
