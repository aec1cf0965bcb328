"""What a ControlNet costs, counted from its configuration. Standard library only."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tav_model.cost import UNetWalk
from tav_model.cost_walk import ClipSize


@dataclass(frozen=True, kw_only=True, slots=True)
class NetCost:
    """One ControlNet and one clip."""

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
