"""Temporal consistency by optical flow: warp error (Lai et al. 2018) and warp SSIM.

Flow and occlusion are the source clip's, the pixels are the edit's. The flow is given: whoever
calls says by which model it was found.
Shape legend: F frames, T = F - 1 neighbouring pairs, H height, W width; a flow's last axis is
(x, y) in pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.errors import EvalError, UndefinedError
from eval.images import Floats, Frames, ssim_map, unit_frames

Flow = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class Flows:
    """Optical flow of a source clip, both ways."""

    forward_THW2: Flow
    """From frame t to t + 1, on the grid of frame t."""
    backward_THW2: Flow
    """From frame t + 1 to t, on the grid of frame t + 1."""


def check_finite(flows: Flows) -> None:
    """Refuse flows that hold NaN or infinity.

    Raises:
        EvalError: names which.
    """
    for name, flow in (("forward", flows.forward_THW2), ("backward", flows.backward_THW2)):
        if not np.isfinite(flow).all():
            raise EvalError(f"the {name} flow holds NaN or infinity: check the flow's model")


def sampled(image_HWC: npt.NDArray[np.floating[Any]], x: Floats, y: Floats) -> Floats:
    """An image's values between its pixels, bilinearly: shape (*S, C) for positions of shape S.

    Weights are those of the position as it is; each of the four neighbours beyond the border is the
    border's pixel (fast_blind_video_consistency at bce0c7e).

    Args:
        image_HWC: Shape (H, W, C).
        x: Columns, finite; those of whole pixels are whole.
        y: Rows, of the same shape.
    """
    height, width = image_HWC.shape[:2]
    left, top = np.floor(x), np.floor(y)
    found = np.zeros((*x.shape, image_HWC.shape[2]))
    for down in (0, 1):
        for right in (0, 1):
            i = np.clip(top + down, 0, height - 1).astype(np.intp)
            j = np.clip(left + right, 0, width - 1).astype(np.intp)
            weight = (1 - np.abs(y - top - down)) * (1 - np.abs(x - left - right))
            found += weight[..., None] * image_HWC[i, j]
    return found


def warp(image_HWC: npt.NDArray[np.floating[Any]], flow_HW2: Flow) -> Floats:
    """Fetch each pixel from where the flow points to: ``image[p + flow[p]]`` (see ``sampled``).

    Args:
        image_HWC: Shape (H, W, C).
        flow_HW2: Shape (H, W, 2), finite.
    """
    rows, columns = np.mgrid[: image_HWC.shape[0], : image_HWC.shape[1]]
    flow = flow_HW2.astype(np.float64)
    return sampled(image_HWC, columns + flow[..., 0], rows + flow[..., 1])


def occluded(forward_HW2: Flow, backward_HW2: Flow) -> Mask:
    """Pixels of a frame that are not to be seen in the next, or lie at a motion's boundary.

    With w the backward flow fetched by the forward one, f: |w + f|² > 0.01 (|w|² + |f|²) + 0.5, or
    |∂f/∂x|² + |∂f/∂y|² > 0.01 |f|² + 0.002, with forward differences that are 0 in the last column
    and row (Lai et al. 2018, after Ruder et al. 2016).

    Returns:
        Shape (H, W).
    """
    flow = forward_HW2.astype(np.float64)
    unlike = astray(flow, warp(backward_HW2, flow))
    across, down = np.zeros_like(flow), np.zeros_like(flow)
    across[:, :-1] = flow[:, 1:] - flow[:, :-1]
    down[:-1] = flow[1:] - flow[:-1]
    edge = _squared(across) + _squared(down) > 0.01 * _squared(flow) + 0.002
    return np.asarray(unlike | edge)


def astray(there: Flow, back: Flow) -> Mask:
    """Where a way there and back does not end where it began: Lai et al.'s first condition.

    Args:
        there: Forward flow f, shape (*S, 2).
        back: Backward flow at where f leads to, likewise.

    Returns:
        Shape S: whether |f + back|² > 0.01 (|f|² + |back|²) + 0.5.
    """
    return np.asarray(_squared(there + back) > 0.01 * (_squared(there) + _squared(back)) + 0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class WarpedPair:
    """One pair of neighbouring frames."""

    occluded: int
    """Pixels."""
    error: float | None
    """Mean over visible pixels and colours of the squared difference; none: nothing is visible."""


def warped_pairs(edit_FHWC: Frames, flows: Flows) -> list[WarpedPair]:
    """Warp each frame of the edit to the one before, and compare where the source is visible.

    Args:
        edit_FHWC: Shape (F, H, W, 3), uint8 RGB, F ≥ 2.
        flows: Of the source clip, for its T = F - 1 pairs, at the edit's size.

    Raises:
        EvalError: one frame, other shapes, or a flow that is not finite.
    """
    return [
        WarpedPair(
            occluded=int((~visible).sum()),
            error=float(np.square(warped - frame)[visible].mean()) if visible.any() else None,
        )
        for frame, warped, visible in _warped(edit_FHWC, flows)
    ]


def warp_error(pairs: list[WarpedPair]) -> float:
    """Mean error of those pairs of which something is visible.

    Returns:
        0 (a warp explains all) to 1.

    Raises:
        UndefinedError: no pair shows anything.
    """
    errors = [pair.error for pair in pairs if pair.error is not None]
    if not errors:
        raise _nothing_visible(len(pairs))
    return float(np.mean(errors))


def warp_error_lai(pairs: list[WarpedPair]) -> float:
    """The published script's: a pair of which nothing is visible counts as 0, which is perfect."""
    return float(np.mean([pair.error or 0.0 for pair in pairs]))


def warp_ssim(edit_FHWC: Frames, flows: Flows) -> float:
    """SSIM × 100 of each frame with the next one warped to it, about the visible pixels.

    Occluded pixels are 0 in both; the mean is over the pixels that are visible, then over the pairs
    of which something is.

    Args:
        edit_FHWC: As of ``warped_pairs``.
        flows: Likewise.

    Returns:
        At most 100.

    Raises:
        EvalError: as of ``warped_pairs``; no pair shows anything; frames under 6 pixels.
    """
    found = [
        float(similar_HW[visible].mean())
        for similar_HW, visible in _ssims(edit_FHWC, flows)
        if visible.any()
    ]
    if not found:
        raise _nothing_visible(len(edit_FHWC) - 1)
    return 100 * float(np.mean(found))


def warp_ssim_whole(edit_FHWC: Frames, flows: Flows) -> float:
    """The same over all pixels, of which the occluded ones, 0 in both, count as alike.

    A clip of which nothing is visible gets 100. For comparison with figures made so alone.

    Raises:
        EvalError: as of ``warped_pairs``; frames under 6 pixels.
    """
    return 100 * float(np.mean([similar_HW.mean() for similar_HW, _ in _ssims(edit_FHWC, flows)]))


def _ssims(edit_FHWC: Frames, flows: Flows) -> Iterator[tuple[Floats, Mask]]:
    for frame, warped, visible in _warped(edit_FHWC, flows):
        seen = visible[..., None]
        yield ssim_map(frame * seen, warped * seen), visible


def _warped(edit_FHWC: Frames, flows: Flows) -> Iterator[tuple[Floats, Floats, Mask]]:
    """Of each pair: the frame, the next one warped to it, and which pixels are visible."""
    frames = unit_frames(edit_FHWC, "edit")
    _check(frames, flows)
    for t, (forward, backward) in enumerate(
        zip(flows.forward_THW2, flows.backward_THW2, strict=True)
    ):
        yield frames[t], warp(frames[t + 1], forward), ~occluded(forward, backward)


def _check(frames: Floats, flows: Flows) -> None:
    count, height, width = frames.shape[:3]
    if count < 2:  # noqa: PLR2004 - a pair
        raise EvalError(
            f"warping of {count} frame(s): it compares neighbouring frames, so a clip needs at "
            "least 2; raise video.num_frames"
        )
    check_finite(flows)
    for name, flow in (("forward", flows.forward_THW2), ("backward", flows.backward_THW2)):
        if flow.shape != (count - 1, height, width, 2):
            raise EvalError(
                f"the {name} flow has shape {flow.shape}, but the edit's {count} frames of "
                f"{width}×{height} pixels need {(count - 1, height, width, 2)}"
            )


def _nothing_visible(pairs: int) -> UndefinedError:
    return UndefinedError(
        f"no pixel of the source clip can be followed through any of its {pairs} pair(s) of "
        "frames, so nothing says how even the edit is"
    )


def _squared(flow: Flow) -> Floats:
    return np.asarray(np.square(flow.astype(np.float64)).sum(axis=-1))
