"""Keeping what lies outside of a mask: after every step the source's own latents take its place.

Blended latents (arXiv 2206.02779), with the inverted source in place of noised latents. What comes
out is the VAE's picture of the source there, so that in the end its own pixels take that place,
too. Shape suffixes: B clips, C channels, F frames, H W pixels or latent pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tav_model.config import InvertConfig
from tav_model.errors import MaskError
from tav_model.invert import invert
from tav_model.load import BaseModel
from tav_model.solvers import sampling_timesteps
from tav_model.words import WordMaps

_ROOM = 8
"""Latents are free as far beyond the mask as their shorter side over this."""

Frames = NDArray[np.uint8]
Masks = NDArray[np.bool_]
Levels = tuple[Tensor, ...]
"""A source's latents before each step of sampling and after the last, (C, F, H, W) fp32 each,
noisiest first."""


@dataclass(frozen=True, slots=True)
class Outside:
    """A source's latents at every noise level of sampling, and where an edit may leave them."""

    levels: Levels
    inside_FHW: Tensor
    """The mask in latent pixels, see `latent_mask`."""
    mask_FHW: Masks
    """In pixels, which an edit may change."""

    def blend(self, step: int, x_BCFHW: Tensor) -> Tensor:
        """Latents after one step of sampling, counted from 0, with the source's outside.

        They stay the edit's within a margin about the mask, too: held up to its very edge, they
        lead the edit back to the source. `pasted` then takes the margin's pixels from the source.
        """
        free_FHW = grown(self.inside_FHW, min(x_BCFHW.shape[-2:]) // _ROOM)
        return torch.where(free_FHW, x_BCFHW, self.levels[step + 1])

    @property
    def changed(self) -> Sequence[Masks]:
        """Of all edits at once what `pasted` leaves them: the mask."""
        return [self.mask_FHW]


@dataclass(frozen=True, slots=True)
class OutsideOfWords:
    """The same, where each edit may leave them being found as it is sampled.

    After each step those are the latent pixels from which words were attended to until then
    (Prompt-to-Prompt's LocalBlend, arXiv 2208.01626, section 4).
    """

    levels: Levels
    maps: WordMaps
    """Of the UNet that samples (see `tav_model.words.watched`)."""
    threshold: float
    """Share of each frame's maximum that must be exceeded."""

    def blend(self, step: int, x_BCFHW: Tensor) -> Tensor:
        """Latents after one step of sampling, counted from 0, with the source's outside."""
        inside_BFHW = self.maps.inside(x_BCFHW.shape[-2:], self.threshold)
        return torch.where(inside_BFHW[:, None], x_BCFHW, self.levels[step + 1])

    @property
    def changed(self) -> Sequence[Masks]:
        """Of each edit in turn what `pasted` leaves it, in latent pixels, after the last step."""
        return list(self.maps.inside(self.levels[-1].shape[-2:], self.threshold).cpu().numpy())


def grown(inside_FHW: Tensor, radius: int) -> Tensor:
    """A mask and all within a square of so many latent pixels about it, (F, H, W) bool."""
    around = functional.max_pool2d(inside_FHW.float()[:, None], 2 * radius + 1, 1, radius)
    return around[:, 0] > 0


def pasted(edit_FHWC: Frames, source_FHWC: Frames, mask_FHW: Masks) -> Frames:
    """An edit with the source's own pixels outside of a mask, in pixels or in latent pixels."""
    cell = edit_FHWC.shape[1] // mask_FHW.shape[1]
    inside = mask_FHW.repeat(cell, axis=1).repeat(cell, axis=2)
    return np.where(inside[..., None], edit_FHWC, source_FHWC)


def source_levels(base: BaseModel, clean_CFHW: Tensor, steps: int) -> Levels:
    """Invert a clip at the noise levels of sampling.

    Args:
        base: the tuned model.
        clean_CFHW: the clip's latents, scaled as the UNet's.
        steps: of sampling.

    Raises:
        NonFiniteError: the latents became NaN or infinite.
    """
    found: dict[int, Tensor] = {}
    invert(base, clean_CFHW, InvertConfig(steps=steps), on_latents=found.__setitem__)
    levels = [found[t] for t in sampling_timesteps(base, steps)]
    return (*levels, clean_CFHW.to(base.device, torch.float32))


def latent_mask(mask_FHW: Masks, latents_CFHW: Tensor) -> Tensor:
    """A mask in latent pixels, (F, H, W) bool: true where any pixel is.

    Raises:
        MaskError: the mask is of another clip, or has the object nowhere or everywhere.
    """
    frames, height, width = latents_CFHW.shape[1:]
    shape = mask_FHW.shape
    if shape[0] != frames or shape[1] % height or shape[2] % width:
        raise MaskError(
            f"the mask has shape {shape}, but the clip's latents {frames} x {height} x {width}: "
            "give the mask of this very clip"
        )
    if not mask_FHW.any() or mask_FHW.all():
        where = "everywhere" if mask_FHW.all() else "nowhere"
        raise MaskError(
            f"the mask has the object {where} in all {frames} frames, so there is no outside to "
            "keep: give a mask of the object alone"
        )
    pixels = torch.from_numpy(mask_FHW).float()[:, None]
    cells = (shape[1] // height, shape[2] // width)
    return functional.max_pool2d(pixels, cells)[:, 0] > 0
