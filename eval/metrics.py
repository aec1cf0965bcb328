"""Metrics on embeddings: arrays in, one number out.

Shape legend: F frames, D embedding width. Embeddings may have any length and float type; each is
normalised here, in float64, so that a cosine's error stays below 1e-6 of a point.
"""

from __future__ import annotations

import math
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
    unit_FD = _pairable(frames_FD)
    cosines_FF = unit_FD @ unit_FD.T
    return 100 * float(cosines_FF[np.triu_indices(len(unit_FD), k=1)].mean())


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
    return 100 * float(_with_text(frames_FD, text_D).mean())


def adjacent_consistency(frames_FD: Embeddings, *, clamped: bool) -> float:
    """Mean cosine of each frame with the one before it.

    V2VBench takes embeddings before the projection and clamps (awesome-diffusion-v2v at 20afc6f,
    ``clip_consistency`` and ``dino_consistency``); FateZero (arXiv 2303.09535, Tem-Con) takes
    projected ones and does not.

    Args:
        frames_FD: Image embeddings, shape (F, D), F ≥ 2.
        clamped: Whether a cosine below 0 counts as 0.

    Returns:
        A value within [-1, 1], or [0, 1] when clamped; 1 for identical frames.

    Raises:
        EvalError: as of ``frame_consistency``.
    """
    unit_FD = _pairable(frames_FD)
    cosines = np.einsum("fd,fd->f", unit_FD[1:], unit_FD[:-1])
    return float((np.maximum(cosines, 0) if clamped else cosines).mean())


def anchored_consistency(frames_FD: Embeddings) -> float:
    """Mean, over frames but the first, of the cosines with the frame before and with the first.

    VBench's subject (DINO) and background (CLIP) consistency (arXiv 2311.17982): each cosine is
    clamped at 0, the two of a frame are averaged.

    Args:
        frames_FD: Image embeddings, shape (F, D), F ≥ 2.

    Returns:
        A value within [0, 1]; 1 for identical frames.

    Raises:
        EvalError: as of ``frame_consistency``.
    """
    unit_FD = _pairable(frames_FD)
    before = np.einsum("fd,fd->f", unit_FD[1:], unit_FD[:-1])
    first = unit_FD[1:] @ unit_FD[0]
    return float((np.maximum(before, 0) + np.maximum(first, 0)).mean() / 2)


def scaled_alignment(frames_FD: Embeddings, text_D: Embeddings, scale: float) -> float:
    """Mean over frames of the model's scale times the cosine with the prompt.

    LOVEU-TGVE's and V2VBench's text alignment (of CLIP) and PickScore (of PickScore_v1's weights):
    one formula, three sets of weights. Neither clamped nor a softmax.

    Args:
        frames_FD: Projected image embeddings, shape (F, D), F ≥ 1.
        text_D: The edited prompt's, shape (D,).
        scale: ``exp(logit_scale)`` of the model, above 0.

    Returns:
        A value within [-scale, scale].

    Raises:
        EvalError: as of ``textual_alignment``, or the scale is not a number above 0.
    """
    if not 0 < scale < math.inf:
        raise EvalError(
            f"the model's logit scale is {scale}, but a number above 0 is needed: check its weights"
        )
    return scale * float(_with_text(frames_FD, text_D).mean())


def frame_accuracy(
    frames_FD: Embeddings, source_D: Embeddings, target_D: Embeddings, *, ties: bool
) -> float:
    """Share of the edit's frames that lie nearer to the edited prompt than to the source prompt.

    EditBoard's success rate counts a tie, such as of equal prompts, as a success (EditBoard at
    089075a); FateZero's frame accuracy (arXiv 2303.09535, Fram-Acc) does not.

    Args:
        frames_FD: The edit's projected image embeddings, shape (F, D), F ≥ 1.
        source_D: The source prompt's, shape (D,).
        target_D: The edited prompt's, shape (D,).
        ties: Whether a frame that is as near to one as to the other counts.

    Returns:
        A value within [0, 1].

    Raises:
        EvalError: as of ``textual_alignment``.
    """
    source_F = _with_text(frames_FD, source_D)
    target_F = _with_text(frames_FD, target_D)
    nearer = target_F >= source_F if ties else target_F > source_F
    return float(nearer.mean())


def _pairable(frames_FD: Embeddings) -> npt.NDArray[np.float64]:
    unit_FD = unit_length(frames_FD, "frame", ndim=2)
    frames = len(unit_FD)
    if frames < 2:  # noqa: PLR2004 - a pair
        raise EvalError(
            f"frame consistency of {frames} frame(s): it compares pairs of frames, so a clip needs "
            "at least 2; raise video.num_frames"
        )
    return unit_FD


def _with_text(frames_FD: Embeddings, text_D: Embeddings) -> npt.NDArray[np.float64]:
    """Each frame's cosine with a prompt, (F,)."""
    unit_FD = unit_length(frames_FD, "frame", ndim=2)
    unit_D = unit_length(text_D, "text", ndim=1)
    if unit_FD.shape[1] != unit_D.shape[0]:
        raise EvalError(
            f"frame embeddings have {unit_FD.shape[1]} values, but the text embedding has "
            f"{unit_D.shape[0]}: take both from one model"
        )
    return np.asarray(unit_FD @ unit_D)


def unit_length(embeddings: Embeddings, kind: str, *, ndim: int) -> npt.NDArray[np.float64]:
    """Bring embeddings to length 1, in float64.

    Args:
        embeddings: Shape (F, D), or (D,).
        kind: What a message calls one.
        ndim: 2 or 1: which of these shapes.

    Raises:
        EvalError: another shape, or an embedding that is zero or not finite.
    """
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
