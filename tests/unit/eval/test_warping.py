"""Warp error and warp SSIM from their definitions, pixel by pixel, and where they have none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import map_coordinates

from eval.errors import EvalError
from eval.images import ssim_map
from eval.warping import (
    Flows,
    occluded,
    warp,
    warp_error,
    warp_error_lai,
    warp_ssim,
    warp_ssim_whole,
    warped_pairs,
)

Floats = npt.NDArray[np.float64]
Frames = npt.NDArray[np.uint8]

H, W = 9, 12


def random_frames(count: int, seed: int = 0) -> Frames:
    return np.random.default_rng(seed).integers(0, 256, (count, H, W, 3), dtype=np.uint8)


def random_flows(pairs: int, size: float, seed: int = 1) -> Flows:
    rng = np.random.default_rng(seed)
    forward = rng.normal(0, size, (pairs, 1, 1, 2)) + rng.normal(0, 0.02, (pairs, H, W, 2))
    backward = -forward + rng.normal(0, 0.5, forward.shape)
    return Flows(forward_THW2=forward, backward_THW2=backward)


def constant(pairs: int, forward: tuple[float, float], backward: tuple[float, float]) -> Flows:
    shape = (pairs, H, W, 2)
    return Flows(
        forward_THW2=np.broadcast_to(np.array(forward), shape),
        backward_THW2=np.broadcast_to(np.array(backward), shape),
    )


def fetched(image: Floats, flow: Floats) -> Floats:
    """By scipy, which agrees inside and, with the position clamped, at the border."""
    y, x = np.mgrid[:H, :W]
    places = [
        np.clip(y + flow[..., 1], 0, H - 1),
        np.clip(x + flow[..., 0], 0, W - 1),
    ]
    return np.stack(
        [map_coordinates(image[..., c], places, order=1) for c in range(image.shape[2])], axis=-1
    )


def hidden(forward: Floats, backward: Floats, y: int, x: int) -> bool:
    """One pixel by the definition."""
    u, v = map(float, forward[y, x])
    back = fetched(backward, forward)[y, x]
    s, t = float(back[0]), float(back[1])
    if (s + u) ** 2 + (t + v) ** 2 > 0.01 * (s * s + t * t + u * u + v * v) + 0.5:
        return True
    steps = 0.0
    for b, a in ((y, x + 1), (y + 1, x)):
        if b < H and a < W:
            steps += sum((float(forward[b, a, c]) - (u, v)[c]) ** 2 for c in (0, 1))
    return steps > 0.01 * (u * u + v * v) + 0.002


@pytest.mark.parametrize("size", [0.0, 0.7, 3.0, 40.0])
def test_a_warp_is_bilinear_and_keeps_the_border(size: float) -> None:
    image = np.random.default_rng(2).random((H, W, 3))
    flow = np.random.default_rng(3).normal(0, size, (H, W, 2))
    np.testing.assert_allclose(warp(image, flow), fetched(image, flow), atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_warp_error_is_the_mean_over_what_is_visible(seed: int) -> None:
    frames, flows = random_frames(4, seed), random_flows(3, 1.5, seed)
    whole, pairs = [], warped_pairs(frames, flows)
    for t in range(3):
        forward, backward = flows.forward_THW2[t], flows.backward_THW2[t]
        next_one = fetched(frames[t + 1] / 255, forward)
        terms = [
            (next_one[y, x, c] - frames[t, y, x, c] / 255) ** 2
            for y in range(H)
            for x in range(W)
            if not hidden(forward, backward, y, x)
            for c in range(3)
        ]
        assert 0 < len(terms) < 3 * H * W  # some are hidden, some are not
        assert pairs[t].occluded == H * W - len(terms) // 3
        whole.append(math.fsum(terms) / len(terms))
        assert pairs[t].error == pytest.approx(whole[-1], rel=1e-10)
    assert warp_error(pairs) == pytest.approx(math.fsum(whole) / 3, rel=1e-10)
    assert warp_error_lai(pairs) == pytest.approx(math.fsum(whole) / 3, rel=1e-10)


@pytest.mark.parametrize("shift", [(2, 1), (-3, 0), (0, -2)])
def test_a_clip_that_moves_with_its_flow_has_no_error(shift: tuple[int, int]) -> None:
    dx, dy = shift
    still = random_frames(1)[0]
    moved = np.roll(still, (dy, dx), axis=(0, 1))
    # What rolled over the border is known to be hidden.
    flows = constant(1, shift, (-dx, -dy))
    y, x = np.mgrid[:H, :W]
    inside = (x + dx >= 0) & (x + dx < W) & (y + dy >= 0) & (y + dy < H)
    frames = np.stack([still, moved])
    frames[:, ~inside] = 0
    warped = warp(moved / 255, flows.forward_THW2[0])
    np.testing.assert_allclose(warped[inside], still[inside] / 255)


def test_a_still_and_a_black_clip_have_no_error() -> None:
    nothing = constant(2, (0, 0), (0, 0))
    for still in (np.repeat(random_frames(1), 3, axis=0), np.zeros((3, H, W, 3), np.uint8)):
        pairs = warped_pairs(still, nothing)
        assert [pair.occluded for pair in pairs] == [0, 0]
        assert warp_error(pairs) == 0
        assert warp_ssim(still, nothing) == pytest.approx(100)


def test_where_nothing_is_visible_only_the_published_formulas_have_a_value() -> None:
    frames, flows = random_frames(3), constant(2, (5, 3), (5, 3))
    pairs = warped_pairs(frames, flows)
    assert [pair.error for pair in pairs] == [None, None]
    with pytest.raises(EvalError, match="no pixel"):
        warp_error(pairs)
    with pytest.raises(EvalError, match="no pixel"):
        warp_ssim(frames, flows)
    assert warp_error_lai(pairs) == 0
    assert warp_ssim_whole(frames, flows) == pytest.approx(100)


def test_a_pair_of_which_nothing_is_visible_is_left_out() -> None:
    frames = random_frames(3)
    forward = np.zeros((2, H, W, 2))
    backward = np.zeros((2, H, W, 2))
    forward[0], backward[0] = (5, 3), (5, 3)
    flows = Flows(forward_THW2=forward, backward_THW2=backward)
    pairs = warped_pairs(frames, flows)
    seen = float(np.square(frames[2] / 255 - frames[1] / 255).mean())
    assert warp_error(pairs) == pytest.approx(seen)
    assert warp_error_lai(pairs) == pytest.approx(seen / 2)
    alike = ssim_map(frames[1] / 255, frames[2] / 255).mean()
    assert warp_ssim(frames, flows) == pytest.approx(100 * alike)


@pytest.mark.parametrize("seed", range(3))
def test_warp_ssim_is_of_visible_pixels(seed: int) -> None:
    frames, flows = random_frames(3, seed), random_flows(2, 1.0, seed)
    visible_means, means = [], []
    for t in range(2):
        forward, backward = flows.forward_THW2[t], flows.backward_THW2[t]
        seen = np.array([[not hidden(forward, backward, y, x) for x in range(W)] for y in range(H)])
        assert seen.any()
        assert not seen.all()
        first = np.where(seen[..., None], frames[t] / 255, 0)
        second = np.where(seen[..., None], fetched(frames[t + 1] / 255, forward), 0)
        alike = ssim_map(first, second)
        visible_means.append(alike[seen].mean())
        means.append(alike.mean())
    assert warp_ssim(frames, flows) == pytest.approx(100 * np.mean(visible_means), abs=1e-6)
    assert warp_ssim_whole(frames, flows) == pytest.approx(100 * np.mean(means), abs=1e-6)


def test_boundaries_of_motion_are_left_out() -> None:
    forward = np.zeros((H, W, 2))
    forward[:, 6:] = (1, 0)
    found = occluded(forward, np.zeros((H, W, 2)))
    wanted = np.zeros((H, W), bool)
    wanted[:, 5] = True  # the step to the right of column 5
    wanted[:, 6:] = True  # 1 > 0.01 + 0.5: the backward flow does not lead back
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("frames", "flows", "message"),
    [
        (random_frames(1), constant(0, (0, 0), (0, 0)), "at least 2"),
        (random_frames(3), constant(1, (0, 0), (0, 0)), r"forward flow has shape \(1, 9, 12, 2\)"),
        (random_frames(2), constant(1, (math.nan, 0), (0, 0)), "forward flow holds NaN"),
        (random_frames(2), constant(1, (0, 0), (math.inf, 0)), "backward flow holds NaN"),
        (np.zeros((2, H, W, 3)), constant(1, (0, 0), (0, 0)), "uint8"),
    ],
)
def test_what_cannot_be_warped_is_refused(frames: Any, flows: Flows, message: str) -> None:
    with pytest.raises(EvalError, match=message):
        warped_pairs(frames, flows)
    with pytest.raises(EvalError, match=message):
        warp_ssim(frames, flows)
