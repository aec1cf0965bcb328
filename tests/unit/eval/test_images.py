"""SSIM's map against scipy's filters, and what is no clip."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter

from eval.errors import EvalError
from eval.images import ssim_map, unit_frames

Floats = npt.NDArray[np.float64]


def blurred(image: Floats) -> Floats:
    # 3.5 of sigma 1.5 is a radius of 5; scipy's mirror is torch's reflect.
    return np.asarray(gaussian_filter(image, 1.5, truncate=3.5, mode="mirror"))


def by_definition(one: Floats, other: Floats) -> Floats:
    c1, c2 = 0.01**2, 0.03**2
    a, b = blurred(one), blurred(other)
    va, vb = blurred(one**2) - a**2, blurred(other**2) - b**2
    both = blurred(one * other) - a * b
    return np.asarray((2 * a * b + c1) * (2 * both + c2) / (a**2 + b**2 + c1) / (va + vb + c2))


@pytest.mark.parametrize("shape", [(6, 6), (17, 9), (24, 31)])
def test_ssim_is_wangs(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    one = rng.random((*shape, 3))
    other = np.clip(one + rng.normal(0, 0.2, one.shape), 0, 1)
    wanted = np.mean([by_definition(one[..., c], other[..., c]) for c in range(3)], axis=0)
    np.testing.assert_allclose(ssim_map(one, other), wanted, atol=1e-9)


def test_black_and_equal_images_are_alike_everywhere() -> None:
    black = np.zeros((8, 8, 3))
    assert ssim_map(black, black) == pytest.approx(np.ones((8, 8)))
    image = np.random.default_rng(1).random((8, 8, 3))
    assert ssim_map(image, image) == pytest.approx(np.ones((8, 8)))


def test_an_image_that_cannot_be_reflected_is_refused() -> None:
    with pytest.raises(EvalError, match=r"9×5 pixels.*at least 6"):
        ssim_map(np.zeros((5, 9, 3)), np.zeros((5, 9, 3)))


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((2, 8, 8, 3)),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((2, 8, 8, 4), np.uint8),
        np.zeros((0, 8, 8, 3), np.uint8),
    ],
)
def test_what_is_no_clip_is_refused(frames: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(EvalError, match="edit"):
        unit_frames(frames, "edit")
