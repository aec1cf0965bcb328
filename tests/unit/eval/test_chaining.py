"""Tracks chained from flow, point by point from the definition."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import map_coordinates

from eval.chaining import chain
from eval.errors import EvalError
from eval.motion import motion_fidelity
from eval.warping import Flows

Floats = npt.NDArray[np.float64]
T, H, W = 3, 13, 17


def constant(forward: tuple[float, float], backward: tuple[float, float]) -> Flows:
    shape = (T, H, W, 2)
    return Flows(
        forward_THW2=np.broadcast_to(np.array(forward), shape),
        backward_THW2=np.broadcast_to(np.array(backward), shape),
    )


def smooth(seed: int) -> Flows:
    """Flow that varies over the picture; the way back is wrong here and there."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:H, :W]
    forward = np.stack([1 + 0.1 * y + rng.normal(0, 0.2, (H, W)), 0.5 - 0.05 * x], axis=-1)
    backward = -forward + rng.normal(0, 0.6, forward.shape)
    return Flows(forward_THW2=np.stack([forward] * T), backward_THW2=np.stack([backward] * T))


def at(flow: Floats, x: float, y: float) -> tuple[float, float]:
    u, v = (float(map_coordinates(flow[..., c], [[y], [x]], order=1)[0]) for c in (0, 1))
    return u, v


def followed(flows: Flows, x: float, y: float) -> list[tuple[float, float]] | None:
    track = [(x, y)]
    for forward, backward in zip(flows.forward_THW2, flows.backward_THW2, strict=True):
        u, v = at(forward, x, y)
        x, y = x + u, y + v
        if not (0 <= x <= W - 1 and 0 <= y <= H - 1):
            return None
        s, t = at(backward, x, y)
        if (u + s) ** 2 + (v + t) ** 2 > 0.01 * (u * u + v * v + s * s + t * t) + 0.5:
            return None
        track.append((x, y))
    return track


@pytest.mark.parametrize("seed", range(4))
def test_points_are_followed_until_they_are_lost(seed: int) -> None:
    flows = smooth(seed)
    every = [followed(flows, x, y) for y in range(1, H, 3) for x in range(1, W, 3)]
    kept = [track for track in every if track is not None]
    assert 0 < len(kept) < len(every)
    found = chain(flows, spacing=3)
    np.testing.assert_allclose(found.tracks_NF2, np.array(kept), atol=1e-9)
    assert found.lost == len(every) - len(kept)


def test_a_clip_that_moves_as_one_moves_its_points_by_that() -> None:
    found = chain(constant((2, -1), (-2, 1)), spacing=4)
    steps = np.diff(found.tracks_NF2, axis=1)
    np.testing.assert_array_equal(steps, np.broadcast_to([2.0, -1.0], steps.shape))
    # Of columns 2, 6, 10, 14 the last leaves to the right; of rows 2, 6, 10 the first to the top.
    assert found.tracks_NF2[:, 0].tolist() == [[x, y] for y in (6, 10) for x in (2, 6, 10)]
    assert found.lost == 6


def test_a_still_clip_has_still_tracks_which_motion_fidelity_refuses() -> None:
    found = chain(constant((0, 0), (0, 0)), spacing=4)
    assert found.lost == 0
    with pytest.raises(EvalError, match="no motion to compare"):
        motion_fidelity(found.tracks_NF2, found.tracks_NF2)


@pytest.mark.parametrize(
    ("flows", "message"),
    [
        (constant((5, 3), (5, 3)), r"none of 12 point\(s\), 4 pixels apart"),
        (constant((99, 0), (-99, 0)), "none of 12"),
        (constant((np.nan, 0), (0, 0)), "forward flow holds NaN"),
        (constant((0, 0), (0, np.inf)), "backward flow holds NaN"),
        (Flows(forward_THW2=np.zeros((0, 9, 9, 2)), backward_THW2=np.zeros((0, 9, 9, 2))), "none"),
        (Flows(forward_THW2=np.zeros((2, 9, 9)), backward_THW2=np.zeros((2, 9, 9))), "is needed"),
        (
            Flows(forward_THW2=np.zeros((2, 9, 9, 2)), backward_THW2=np.zeros((1, 9, 9, 2))),
            "same pairs",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused(flows: Flows, message: str) -> None:
    with pytest.raises(EvalError, match=message):
        chain(flows, spacing=4)
