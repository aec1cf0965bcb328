"""Background measures from their definitions, against torchmetrics, and where they have none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from eval.background import (
    background_lpips,
    background_psnr,
    background_ssim,
    masked_images,
    whole_lpips,
    whole_psnr,
    whole_ssim,
)
from eval.errors import EvalError
from eval.images import ssim_map

Frames = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
F, H, W = 3, 10, 14


def clips(seed: int = 0) -> tuple[Frames, Frames, Mask]:
    rng = np.random.default_rng(seed)
    source = rng.integers(0, 256, (F, H, W, 3), dtype=np.uint8)
    edit = rng.integers(0, 256, (F, H, W, 3), dtype=np.uint8)
    return source, edit, rng.random((F, H, W)) < 0.6


def as_images(frames: Frames, kept: Mask) -> torch.Tensor:
    return torch.from_numpy(frames / 255 * kept[..., None]).permute(0, 3, 1, 2)


@pytest.mark.parametrize("seed", range(3))
def test_masked_psnr_is_of_background_pixels_alone(seed: int) -> None:
    source, edit, kept = clips(seed)
    squares = [
        ((int(source[place]) - int(edit[place])) / 255) ** 2
        for place in np.ndindex(*source.shape)
        if kept[place[:3]]
    ]
    wanted = 10 * math.log10(1 / (math.fsum(squares) / len(squares)))
    assert background_psnr(source, edit, kept) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_masked_ssim_is_of_background_pixels_alone(seed: int) -> None:
    source, edit, kept = clips(seed)
    frames = []
    for f in range(F):
        seen = kept[f][..., None]
        alike = ssim_map(np.where(seen, source[f] / 255, 0), np.where(seen, edit[f] / 255, 0))
        frames.append(math.fsum(alike[kept[f]]) / kept[f].sum())
    assert background_ssim(source, edit, kept) == pytest.approx(math.fsum(frames) / F, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_whole_image_values_are_torchmetrics_of_masked_images(seed: int) -> None:
    source, edit, kept = clips(seed)
    psnr, ssim = [], []
    for f in range(F):
        images = as_images(edit[f : f + 1], kept[f]), as_images(source[f : f + 1], kept[f])
        psnr.append(float(peak_signal_noise_ratio(*images, data_range=1.0)))
        found = structural_similarity_index_measure(*images, data_range=1.0)
        assert isinstance(found, torch.Tensor)
        ssim.append(float(found))
    assert whole_psnr(source, edit, kept) == pytest.approx(np.mean(psnr), rel=1e-6)
    assert whole_ssim(source, edit, kept) == pytest.approx(np.mean(ssim), rel=1e-6)


def test_what_was_edited_counts_in_no_way() -> None:
    source, edit, kept = clips()
    other = np.where(kept[..., None], edit, 255 - edit)
    for measure in (background_psnr, background_ssim, whole_psnr, whole_ssim):
        assert measure(source, other, kept) == measure(source, edit, kept)


def test_a_larger_region_flatters_the_whole_image_alone() -> None:
    source = np.zeros((1, 20, 20, 3), np.uint8)
    edit = np.full_like(source, 30)
    small, large = (np.ones((1, 20, 20), bool) for _ in range(2))
    small[:, :2], large[:, :15] = False, False
    assert background_psnr(source, edit, large) == pytest.approx(
        background_psnr(source, edit, small)
    )
    assert whole_psnr(source, edit, large) > whole_psnr(source, edit, small) + 5


def test_a_frame_without_background_is_left_out() -> None:
    source, edit, kept = clips()
    kept[1] = False
    there = [0, 2]
    for measure in (background_psnr, background_ssim, whole_psnr, whole_ssim):
        found = measure(source, edit, kept)
        assert found == pytest.approx(measure(source[there], edit[there], kept[there]))


def test_a_clip_without_background_has_no_value() -> None:
    source, edit, kept = clips()
    for measure in (background_psnr, background_ssim, whole_psnr, whole_ssim):
        with pytest.raises(EvalError, match="no background"):
            measure(source, edit, np.zeros_like(kept))
    with pytest.raises(EvalError, match="no background"):
        background_lpips(np.ones((F, H, W)), np.zeros_like(kept))
    with pytest.raises(EvalError, match="no background"):
        whole_lpips(np.ones(F), np.zeros_like(kept))
    with pytest.raises(EvalError, match="no background"):
        masked_images(source, edit, np.zeros_like(kept))


def test_equal_backgrounds_have_no_psnr_and_an_ssim_of_one() -> None:
    source, edit, kept = clips()
    edit = np.where(kept[..., None], source, edit)
    for psnr in (background_psnr, whole_psnr):
        with pytest.raises(EvalError, match="infinite"):
            psnr(source, edit, kept)
    assert background_ssim(source, edit, kept) == pytest.approx(1)
    black = np.zeros_like(source)
    assert background_ssim(black, black, kept) == pytest.approx(1)


def test_one_equal_frame_leaves_the_masked_psnr_finite() -> None:
    source, edit, kept = clips()
    edit[0] = source[0]
    assert math.isfinite(background_psnr(source, edit, kept))


def test_lpips_is_averaged_within_the_mask_or_over_all() -> None:
    rng = np.random.default_rng(4)
    maps, kept = rng.random((F, H, W)), rng.random((F, H, W)) < 0.5
    kept[2] = False
    inside = [math.fsum(maps[f][kept[f]]) / kept[f].sum() for f in (0, 1)]
    assert background_lpips(maps, kept) == pytest.approx(sum(inside) / 2, rel=1e-12)
    distances = rng.random(F)
    assert whole_lpips(distances, kept) == pytest.approx(distances[:2].mean(), rel=1e-12)


@pytest.mark.parametrize(
    ("edit", "kept", "message"),
    [
        (np.zeros((F, H, W + 1, 3), np.uint8), np.ones((F, H, W), bool), "as many"),
        (np.zeros((F, H, W, 3), np.uint8), np.ones((F, H), bool), "as many"),
        (np.zeros((F, H, W, 3), np.uint8), np.ones((F, H, W)), "true or false"),
        (np.zeros((F, H, W, 3)), np.ones((F, H, W), bool), "uint8"),
    ],
)
def test_what_cannot_be_compared_is_refused(edit: Any, kept: Any, message: str) -> None:
    source, _, _ = clips()
    for measure in (background_psnr, background_ssim, whole_psnr, whole_ssim):
        with pytest.raises(EvalError, match=message):
            measure(source, edit, kept)


def test_maps_of_another_shape_or_without_numbers_are_refused() -> None:
    kept = np.ones((F, H, W), bool)
    with pytest.raises(EvalError, match="distances have shape"):
        background_lpips(np.ones((F, H, W - 1)), kept)
    with pytest.raises(EvalError, match="NaN"):
        background_lpips(np.full((F, H, W), np.nan), kept)
