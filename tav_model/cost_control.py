"""What ControlNets and T2I-Adapters cost, counted from their configs. Standard library only."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tav_model.cost import UNetWalk
from tav_model.cost_walk import ClipSize, Walk


@dataclass(frozen=True, kw_only=True, slots=True)
class NetCost:
    """One ControlNet or T2I-Adapter and one clip."""

    parameters: int
    forward: float
    """FLOPs of one forward pass."""
    working: int
    """Numbers in flight in it."""
    given: int
    """Numbers that it gives the UNet."""


def controlnet_cost(config: Mapping[str, Any], clip: ClipSize) -> NetCost:
    """Count a ControlNet (arXiv 2302.05543): the UNet's way down, without attention along time.

    Args:
        config: Its `config.json`.
        clip: Size of the clip's latents.
    """
    walk = _NetWalk(config, clip, "per_frame", "paper")
    walk.run()
    return NetCost(
        parameters=walk.parameters,
        forward=walk.forward,
        working=walk.skip_numbers + walk.in_flight,
        given=walk.skip_numbers,
    )


def adapter_cost(config: Mapping[str, Any], clip: ClipSize, factor: int) -> NetCost:
    """Count a T2I-Adapter (arXiv 2302.08453), which is asked once a clip.

    Args:
        config: Its `config.json`.
        clip: Size of the clip's latents.
        factor: Pixels per latent, by side.

    Raises:
        KeyError: its config lacks what diffusers always writes.
    """
    walk = _AdapterWalk(config, clip, factor)
    walk.run()
    return NetCost(
        parameters=walk.parameters,
        forward=walk.forward,
        working=walk.given + walk.in_flight,
        given=walk.given,
    )


class _AdapterWalk(Walk):
    """As diffusers' FullAdapter and LightAdapter are built: all in one go at growing strides."""

    def __init__(self, config: Mapping[str, Any], clip: ClipSize, factor: int) -> None:
        super().__init__(clip)
        self.config, self.given = config, 0
        stride = int(config["downscale_factor"])
        self.height, self.width = factor * clip.height // stride, factor * clip.width // stride
        self.shown = int(config["in_channels"]) * stride**2

    def run(self) -> None:
        channels, light = self.config["channels"], self.config["adapter_type"] == "light_adapter"
        # What SDXL's differ in is no base of these.
        blocks = [*itertools.pairwise([channels[0], *channels])]
        if light:
            blocks = [*itertools.pairwise([self.shown, *channels, channels[-1]])]
        else:
            self.conv(self.shown, channels[0])
        self.in_flight = (self.shown + channels[0]) * self.pixels
        for place, (before, after) in enumerate(blocks):
            if place:  # a mean over 2 x 2, and what is over at the edge
                self.height, self.width = -(-self.height // 2), -(-self.width // 2)
            self._block(before, after, light=light)
            self.given += after * self.pixels

    def _block(self, before: int, after: int, *, light: bool) -> None:
        inner = after // 4 if light else after
        if light or before != after:
            self.conv(before, inner, kernel=1)
        for _ in range(int(self.config["num_res_blocks"])):
            self.conv(inner, inner)
            self.conv(inner, inner, kernel=3 if light else 1)
        if light:
            self.conv(inner, after, kernel=1)
        self.in_flight = max(self.in_flight, (before + after + 2 * inner) * self.pixels)


class _NetWalk(UNetWalk):
    """A ControlNet's: the way in, and a layer for each thing that it gives."""

    along_time = False

    def run(self) -> None:
        self.texts = self.frames  # each image is given its own
        _, skips = self.inwards()
        last = self.channels[-1]
        self.conv(last, last, kernel=1)  # of the middle block, at its size
        for channels, height, width in skips:
            self.height, self.width = height, width
            self.conv(channels, channels, kernel=1)
        self._embedding(*skips[0][1:])

    def _embedding(self, height: int, width: int) -> None:
        """Of the map, from its own size to that of the latents; before all else."""
        steps = tuple(self.config["conditioning_embedding_out_channels"])
        factor = 2 ** (len(steps) - 1)
        self.height, self.width = factor * height, factor * width
        self.conv(self.config.get("conditioning_channels", 3), steps[0])
        self.in_flight = max(self.in_flight, 2 * steps[0] * self.pixels)
        for before, after in itertools.pairwise(steps):
            self.conv(before, before)
            self.height, self.width = self.height // 2, self.width // 2
            self.conv(before, after)
        self.conv(steps[-1], self.channels[0])
