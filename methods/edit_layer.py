"""The generator of an edit layer, and how the layer gets into frames (arXiv 2204.02491)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

_COLOURS = ((0.26, 0.27, 0.27), (0.09, 0.0, -0.09), (0.02, -0.05, 0.03))
"""How colours vary in natural pictures, by independent directions (the official code's)."""
_SATURATION = 1.6
GREEN = (0.0, 177 / 255, 64 / 255)
"""The screen that the edit alone is shown on."""


class Generator(nn.Module):
    """A U-Net from a picture (1, 3, H, W) to colours and coverage (1, 4, H, W), all in 0 to 1."""

    def __init__(self, channels: int, skip_channels: int, scales: int) -> None:
        """Make the network, drawn from torch's generator.

        Args:
            channels: Of its convolutions.
            skip_channels: Of those past the deeper scales.
            scales: How often it halves the picture.
        """
        super().__init__()
        self.smallest = 2**scales + 1
        deeper: nn.Module | None = None
        for scale in reversed(range(scales)):
            deeper = _Scale(3 if scale == 0 else channels, channels, skip_channels, deeper)
        assert deeper is not None
        self.scales = deeper
        self.out = nn.Conv2d(channels, 4, 1)
        colours = torch.tensor(_COLOURS) / torch.tensor([[_SATURATION], [1.0], [1.0]])
        self.register_buffer("colours", colours / colours.norm(dim=1).max(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Smaller pictures than the network takes are continued at their edges."""
        height, width = x.shape[-2:]
        missing = [max(0, self.smallest - side) for side in (width, height)]
        padded = nn.functional.pad(x, (0, missing[0], 0, missing[1]), mode="replicate")
        made = self.out(self.scales(padded))[..., :height, :width]
        colours = torch.einsum("nchw,cd->ndhw", made[:, :3], self.get_buffer("colours"))
        return torch.cat([colours, made[:, 3:]], dim=1).sigmoid()


class _Scale(nn.Module):
    """A picture at one scale and, in half the size, all deeper ones."""

    def __init__(
        self, inputs: int, channels: int, skip_channels: int, deeper: nn.Module | None
    ) -> None:
        super().__init__()
        self.skip = _convolution(inputs, skip_channels, 1)
        self.down = nn.Sequential(
            _convolution(inputs, channels, 3, stride=2), _convolution(channels, channels, 3)
        )
        self.deeper = deeper if deeper is not None else nn.Identity()
        self.up = nn.Sequential(
            nn.BatchNorm2d(skip_channels + channels),
            _convolution(skip_channels + channels, channels, 3),
            _convolution(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        below = self.deeper(self.down(x))
        size = x.shape[-2:]
        below = nn.functional.interpolate(below, size, mode="bilinear", align_corners=False)
        out: Tensor = self.up(torch.cat([self.skip(x), below], dim=1))
        return out


def _convolution(inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, padding_mode="reflect"),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.2),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """A rectangle of pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, picture: Tensor) -> Tensor:
        """What of (…, H, W) lies in it."""
        rows, columns = slice(self.top, self.bottom), slice(self.left, self.right)
        return picture[..., rows, columns]

    @property
    def bottom(self) -> int:
        """The first row below."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """The first column to the right."""
        return self.left + self.width


def box_of_places(places_N2: Tensor, resolution: int) -> Box:
    """The pixels of an atlas between which these places lie, (N, 2) in 0 to 1."""
    low = (places_N2.amin(0) * resolution).floor().clamp(0, resolution - 2).long().tolist()
    high = (places_N2.amax(0) * resolution).ceil().clamp(1, resolution - 1).long().tolist()
    sides = [max(last - first, 1) + 1 for first, last in zip(low, high, strict=True)]
    return Box(left=low[0], top=low[1], width=sides[0], height=sides[1])


def box_of_mask(mask_HW: Tensor, border: int) -> Box:
    """The rectangle around what is true, and so many pixels more."""
    height, width = mask_HW.shape
    rows, columns = (mask_HW.any(dim=dim).nonzero()[:, 0] for dim in (1, 0))
    top, left = max(int(rows[0]) - border, 0), max(int(columns[0]) - border, 0)
    bottom = min(int(rows[-1]) + 1 + border, height)
    right = min(int(columns[-1]) + 1 + border, width)
    return Box(top=top, left=left, height=bottom - top, width=right - left)


def sample(picture_1CHW: Tensor, box: Box, places_HW2: Tensor, resolution: int) -> Tensor:
    """Look places up in a part of an atlas, between its pixels.

    Args:
        picture_1CHW: The part.
        box: Where it lies.
        places_HW2: In 0 to 1 of the whole atlas.
        resolution: The atlas's pixels by side.

    Returns:
        (C, H, W).
    """
    corner = places_HW2.new_tensor([box.left, box.top])
    sides = places_HW2.new_tensor([box.width, box.height])
    grid = (places_HW2 * resolution - corner + 0.5) / sides * 2 - 1
    looked = nn.functional.grid_sample(
        picture_1CHW, grid[None], padding_mode="border", align_corners=False
    )
    return looked[0]


def compose(edit_4HW: Tensor, weight_1HW: Tensor, ground_3HW: Tensor) -> Tensor:
    """Lay an edit upon a picture, where its layer is seen (``weight``): (…, 3, H, W)."""
    colours, alpha = edit_4HW[..., :3, :, :], edit_4HW[..., 3:, :, :] * weight_1HW
    return alpha * colours + (1 - alpha) * ground_3HW
