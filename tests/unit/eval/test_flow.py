"""Optical flow by DIS: it finds a known motion, and says what it cannot take."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from eval.errors import EvalError
from eval.flow import SMALLEST, dis_flows


def test_a_shifted_pattern_moves_by_its_shift() -> None:
    noise = np.random.default_rng(0).random((48, 80))
    pattern = gaussian_filter(noise, 2)
    pattern = (pattern - pattern.min()) / np.ptp(pattern) * 255
    frames = [np.roll(pattern, 2 * step, axis=1)[:, 8:72] for step in range(3)]
    clip = np.repeat(np.stack(frames).astype(np.uint8)[..., None], 3, axis=3)
    flows = dis_flows(clip)
    assert flows.forward_THW2.shape == flows.backward_THW2.shape == (2, 48, 64, 2)
    middle = (slice(None), slice(12, 36), slice(16, 48))
    for flow, shift in ((flows.forward_THW2, 2), (flows.backward_THW2, -2)):
        assert np.median(flow[middle], axis=(0, 1, 2)) == pytest.approx([shift, 0], abs=0.1)


def test_still_and_black_frames_do_not_move() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1, 24, 32, 3), dtype=np.uint8)
    for clip in (np.repeat(noise, 3, axis=0), np.zeros((3, 24, 32, 3), np.uint8)):
        flows = dis_flows(clip)
        assert not flows.forward_THW2.any()
        assert not flows.backward_THW2.any()


@pytest.mark.parametrize("shape", [(1, 24, 24, 3), (2, SMALLEST - 1, 24, 3)])
def test_one_frame_and_tiny_ones_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(EvalError, match="it needs 2 frames of 12 pixels"):
        dis_flows(np.zeros(shape, np.uint8))
