"""What lies outside of a mask is the source's at every step, and what lies inside is the edit's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tav_model.config import SampleConfig
from tav_model.control import Steering
from tav_model.errors import MaskError
from tav_model.invert import invert
from tav_model.keeping import Outside, grown, latent_mask, pasted, source_levels
from tav_model.load import BaseModel
from tav_model.sample import sample
from tav_model.solvers import sampling_timesteps

FRAMES = 3


def clean(frames: int = FRAMES) -> Tensor:
    return torch.randn(4, frames, 4, 6, generator=torch.Generator().manual_seed(2))


def mask() -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Of 32×48 pixels, in cells of 8: one pixel makes its cell the object's."""
    found = np.zeros((FRAMES, 32, 48), dtype=bool)
    found[0, 9, 17] = True
    found[1:, 16:32, 0:24] = True
    return found


def outside(base: BaseModel, mask_FHW: np.ndarray[Any, np.dtype[np.bool_]], steps: int) -> Outside:
    inside_FHW = latent_mask(mask_FHW, clean())
    return Outside(source_levels(base, clean(), steps), inside_FHW, mask_FHW)


def test_a_latent_pixel_is_inside_where_any_of_its_pixels_is() -> None:
    inside = latent_mask(mask(), clean())
    assert inside.shape == (FRAMES, 4, 6)
    assert inside[0].nonzero().tolist() == [[1, 2]]
    assert inside[1, 2:, :3].all()
    assert inside[1].sum() == 6


def test_outside_of_the_mask_the_source_comes_out_to_the_bit(base: BaseModel) -> None:
    config = SampleConfig(steps=4, guidance_scale=7.5)
    kept = outside(base, mask(), config.steps)
    start = kept.levels[0]
    plain, held = (
        sample(base, start, ["a blue star"], config, steering=steering)[0]
        for steering in (None, Steering(after=kept.blend))
    )
    inside = kept.inside_FHW
    assert torch.equal(held[:, ~inside], clean()[:, ~inside])
    assert (held[:, inside] - clean()[:, inside]).abs().max() > 0.1, "nothing was edited"
    assert (plain[:, ~inside] - clean()[:, ~inside]).abs().max() > 0.1, "there was nothing to keep"


def test_the_levels_are_those_of_inversion_and_of_sampling(base: BaseModel) -> None:
    from tav_model.config import InvertConfig

    kept = outside(base, mask(), 5)
    trace = invert(base, clean(), InvertConfig(steps=5), all_steps=True)
    assert len(kept.levels) == 6
    for level, expected in zip(kept.levels, trace.flip(0), strict=True):
        assert torch.equal(level, expected)
    assert sampling_timesteps(base, 5) == sorted(sampling_timesteps(base, 5), reverse=True)


def test_with_everything_inside_but_one_cell_the_rest_is_as_without(base: BaseModel) -> None:
    """In the first step nothing of the source has come in yet."""
    config = SampleConfig(steps=1, guidance_scale=2.0)
    almost = np.ones((FRAMES, 32, 48), dtype=bool)
    almost[:, :8, :8] = False
    kept = outside(base, almost, config.steps)
    start = kept.levels[0]
    plain = sample(base, start, ["a blue star"], config)[0]
    held = sample(base, start, ["a blue star"], config, steering=Steering(after=kept.blend))[0]
    assert torch.equal(held[:, kept.inside_FHW], plain[:, kept.inside_FHW])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((FRAMES, 32, 48), dtype=bool), "nowhere in all 3 frames"),
        (np.ones((FRAMES, 32, 48), dtype=bool), "everywhere in all 3 frames"),
        (np.ones((FRAMES + 1, 32, 48), dtype=bool), "give the mask of this very clip"),
        (np.ones((FRAMES, 31, 48), dtype=bool), "give the mask of this very clip"),
    ],
)
def test_a_mask_that_parts_nothing_or_another_clip_s_is_refused(
    given: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], words: str
) -> None:
    with pytest.raises(MaskError, match=words):
        latent_mask(given, clean())


def test_latents_are_free_within_a_margin(base: BaseModel) -> None:
    x = torch.randn(4, FRAMES, 16, 20, generator=torch.Generator().manual_seed(2))
    inside = torch.zeros(FRAMES, 16, 20, dtype=torch.bool)
    inside[:, 8, 10] = True
    kept = Outside(source_levels(base, x, 2), inside, np.zeros((FRAMES, 128, 160), dtype=bool))
    free = grown(inside, 2)
    assert free.sum() == FRAMES * 5 * 5, "an eighth of 16 on each side"
    found = kept.blend(1, torch.zeros(1, *x.shape))[0]
    assert torch.equal(found, x.where(~free, torch.zeros(())))
    assert torch.equal(grown(inside, 0), inside)


def test_pixels_outside_are_the_source_s_own() -> None:
    edit, source = (np.full((FRAMES, 32, 48, 3), level, dtype=np.uint8) for level in (200, 10))
    found = pasted(edit, source, mask())
    assert found.dtype == np.uint8
    assert np.array_equal((found == 200).all(axis=-1), mask())
    assert np.array_equal((found == 10).all(axis=-1), ~mask())
    cells = latent_mask(mask(), clean()).numpy()
    found = pasted(edit, source, cells)
    assert (found[0, 8:16, 16:24] == 200).all(), "the whole cell"
    assert (found == 200).sum() == 3 * 64 * int(cells.sum())
