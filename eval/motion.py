"""Motion fidelity on point tracks (Yatim et al., arXiv 2311.17009), both directions.

The tracks are given: whoever calls says how points were chosen and followed.
Shape legend: N points, M points of the other clip, F frames; a track's last axis is (x, y), pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.errors import EvalError, UndefinedError

Tracks = npt.NDArray[np.floating[Any]]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class MotionFidelity:
    """How well two clips' motions find each other, each within [-1, 1]; 1 for equal tracks."""

    edit_to_source: float
    """Mean over the edit's moving tracks of the best match among the source's."""
    source_to_edit: float
    """The other way: low where a motion of the source is gone."""
    still_edit: int
    """Tracks of the edit that never move, which were left out."""
    still_source: int
    """Likewise of the source."""

    @property
    def both(self) -> float:
        """The mean of the two."""
        return (self.edit_to_source + self.source_to_edit) / 2


def motion_fidelity(edit_NF2: Tracks, source_MF2: Tracks, *, still: float = 0.0) -> MotionFidelity:
    """Match each moving track with the most similar one of the other clip.

    Two tracks are as similar as the mean, over time, of the dot products of their steps' directions
    (``similarity``). A track that never moves has no direction: it is left out and counted. Where a
    moving track pauses, two pauses agree (1), a pause and a step do not (0).

    Args:
        edit_NF2: Shape (N, F, 2), F ≥ 2, finite.
        source_MF2: Shape (M, F, 2), likewise; M need not be N.
        still: The longest step in pixels that counts as none.

    Raises:
        EvalError: other shapes, or tracks that are not finite.
        UndefinedError: a clip without a moving track.
    """
    found = similarity(edit_NF2, source_MF2, still=still)
    moving_N, moving_M = _moving(edit_NF2, still), _moving(source_MF2, still)
    for clip, moving in (("edit", moving_N), ("source clip", moving_M)):
        if not moving.any():
            raise UndefinedError(
                f"none of the {moving.size} track(s) of the {clip} moves by more than {still:g} "
                "pixels from frame to frame: there is no motion to compare"
            )
    among = found[np.ix_(moving_N, moving_M)]
    return MotionFidelity(
        edit_to_source=float(among.max(axis=1).mean()),
        source_to_edit=float(among.max(axis=0).mean()),
        still_edit=int((~moving_N).sum()),
        still_source=int((~moving_M).sum()),
    )


def similarity(edit_NF2: Tracks, source_MF2: Tracks, *, still: float = 0.0) -> Floats:
    """The mean over steps of the dot product of both tracks' directions, shape (N, M).

    Raises:
        EvalError: other shapes, or tracks that are not finite.
    """
    _check(edit_NF2, source_MF2)
    edit, edit_moves = _steps(edit_NF2, still)
    source, source_moves = _steps(source_MF2, still)
    steps = edit.shape[1]
    alike = np.einsum("ntc,mtc->nm", edit, source)
    pauses = (~edit_moves).astype(np.float64) @ (~source_moves).astype(np.float64).T
    return np.asarray((alike + pauses) / steps)


def motion_fidelity_dmt(edit_NF2: Tracks, source_NF2: Tracks) -> float:
    """As the published script has it, for comparison with its figures alone.

    diffusion-motion-transfer at da9d4c3: from edit to source only, and the identity is taken from
    the matrix before each row's maximum, so that a track's own twin never matches: equal clips do
    not get 1.

    Args:
        edit_NF2: Shape (N, F, 2), F ≥ 2.
        source_NF2: Likewise, of as many points.

    Raises:
        EvalError: numbers of tracks differ, or one step of one track is still, of which the script
            makes NaN.
    """
    _check(edit_NF2, source_NF2)
    if len(edit_NF2) != len(source_NF2):
        raise EvalError(
            f"the edit has {len(edit_NF2)} track(s) and the source clip {len(source_NF2)}, but "
            "this formula needs as many: take flow_motion_v1's"
        )
    for clip, tracks in (("edit", edit_NF2), ("source clip", source_NF2)):
        still = int((~_steps(tracks, 0.0)[1]).any(axis=1).sum())
        if still:
            raise EvalError(
                f"{still} track(s) of the {clip} stand still at a step, of which this formula "
                "makes NaN: take flow_motion_v1's"
            )
    found = similarity(edit_NF2, source_NF2) - np.eye(len(edit_NF2))
    return float(found.max(axis=1).mean())


def _check(edit: Tracks, source: Tracks) -> None:
    for clip, tracks in (("edit", edit), ("source clip", source)):
        if tracks.ndim != 3 or tracks.shape[2] != 2 or 0 in tracks.shape:  # noqa: PLR2004
            raise EvalError(
                f"tracks of the {clip} have shape {tracks.shape}, but (points, frames, 2) with "
                "none of them 0 is needed"
            )
        if not np.isfinite(tracks).all():
            raise EvalError(f"a track of the {clip} holds NaN or infinity: leave it out")
    if edit.shape[1] != source.shape[1]:
        raise EvalError(
            f"tracks of the edit have {edit.shape[1]} frames, those of the source clip "
            f"{source.shape[1]}: follow both through the same frames"
        )
    if edit.shape[1] < 2:  # noqa: PLR2004 - a step
        raise EvalError("tracks of 1 frame have no motion: a clip needs at least 2")


def _steps(tracks_NF2: Tracks, still: float) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Directions (N, F - 1, 2), zero where a track pauses, and where it moves (N, F - 1)."""
    steps = np.diff(tracks_NF2.astype(np.float64), axis=1)
    lengths = np.linalg.norm(steps, axis=-1)
    moves = lengths > still
    return steps / np.where(moves, lengths, 1)[..., None] * moves[..., None], moves


def _moving(tracks_NF2: Tracks, still: float) -> npt.NDArray[np.bool_]:
    """Which tracks move at some step, (N,)."""
    return np.asarray(_steps(tracks_NF2, still)[1].any(axis=1))
