"""What methods that ControlNets and T2I-Adapters steer have in common: loaded nets."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from methods.method import Source

if TYPE_CHECKING:
    from tav_model.control import AfterStep, Net, Steering
    from tav_model.load import BaseModel


class Nets:
    """Nets for one base, each loaded once for all videos that ask for it one after the other."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[str, str, str | None], Net] = {}

    def steering(
        self, base: BaseModel, source: Source, after: AfterStep | None = None
    ) -> Steering | None:
        """What steers a clip; none where nothing does.

        Nets that this clip does not ask for are let go: they may fill the device.

        Args:
            base: What is steered.
            source: The clip.
            after: Changes the latents after each step; none leaves them.

        Raises:
            BaseModelError: a net is missing, damaged or of another base.
        """
        import torch

        from tav_model.control import Steering, load_net

        names = [(one.net.kind, one.net.model, one.net.revision) for one in source.controls]
        self._loaded = {name: net for name, net in self._loaded.items() if name in names}
        if not names:
            return None if after is None else Steering(after=after)
        nets, maps = [], []
        for name, one in zip(names, source.controls, strict=True):
            if name not in self._loaded:
                self._loaded[name] = load_net(one.net, base)
            nets.append(dataclasses.replace(self._loaded[name], config=one.net))
            maps.append(torch.from_numpy(one.load()).permute(0, 3, 1, 2) / 255)
        return Steering(nets, maps) if after is None else Steering(nets, maps, after)
