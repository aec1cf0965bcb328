"""ControlNets (arXiv 2302.05543) and T2I-Adapters (arXiv 2302.08453) beside an inflated UNet.

Both are image models of diffusers; the frames of a clip are folded into their batch, each with the
control map of its own. What they give is added to the UNet's features. Must agree, frame by frame,
with StableDiffusionControlNetPipeline and StableDiffusionAdapterPipeline.

Shape suffixes: B clips, C channels, F frames, N = B*F images, L tokens, H W pixels of maps or
latents.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tav_model.config import ControlConfig
from tav_model.control_check import CLASSES, check_net
from tav_model.identity import STEMS, resolve_model
from tav_model.load_parts import check_fit, fitting
from tav_model.parts import read_config
from tav_model.residuals import Added, Residuals
from tav_model.weights import read_state, weight_files

if TYPE_CHECKING:
    from tav_model.load import BaseModel


AfterStep = Callable[[int, Tensor], Tensor]
"""Changes the latents (B, C, F, H, W) after a step of sampling, counted from 0."""


class Steering:
    """Controls with one clip's maps, and what is kept of it: what steers its sampling."""

    def __init__(
        self,
        nets: Sequence[Net] = (),
        maps_F3HW: Sequence[Tensor] = (),
        after: AfterStep = lambda _step, x_BCFHW: x_BCFHW,
    ) -> None:
        """Pair nets with maps.

        Args:
            nets: of `load_net`.
            maps_F3HW: for each net the clip's map, (F, 3, H, W) in 0 to 1, at the clip's size.
            after: such as `tav_model.keeping.Outside.blend`.
        """
        self.after = after
        self._nets = [
            (net, map_F3HW.to(net.device, net.dtype))
            for net, map_F3HW in zip(nets, maps_F3HW, strict=True)
        ]
        self._features: dict[int, list[Tensor]] = {}

    def step(self, step: int, steps: int) -> Added:
        """What `at` gives at one step."""
        return functools.partial(self.at, step, steps)

    def at(
        self,
        step: int,
        steps: int,
        x_BCFHW: Tensor,
        timestep: Tensor | int,
        text_BLC: Tensor,
        frames: Tensor | None = None,
    ) -> Residuals | None:
        """What the controls add at one step of sampling; none where no control is at work.

        Args:
            step: which of the steps, from 0.
            steps: how many there are in all.
            x_BCFHW: (B, C, F, H, W) noisy latents; with guidance both halves, the negative first.
            timestep: a number, on the model's device.
            text_BLC: (B, L, C), as the UNet is given it.
            frames: (F,) which of the clip's these are; none is all.
        """
        at_work = [
            number
            for number, (net, _) in enumerate(self._nets)
            if step / steps >= net.config.start and (step + 1) / steps <= net.config.end
        ]
        return self._added(at_work, x_BCFHW, timestep, text_BLC, frames)

    def everywhere(
        self,
        x_BCFHW: Tensor,
        timestep: Tensor | int,
        text_BLC: Tensor,
        frames: Tensor | None = None,
    ) -> Residuals | None:
        """What all controls add, whenever they begin and end: of tuning, which has no steps of it.

        Args:
            x_BCFHW: (B, C, F, H, W) noisy latents.
            timestep: a number, or (B,) int64.
            text_BLC: (B, L, C).
            frames: (F,) which of the clip's these are; none is all.
        """
        return self._added(range(len(self._nets)), x_BCFHW, timestep, text_BLC, frames)

    def _added(
        self,
        at_work: Sequence[int],
        x_BCFHW: Tensor,
        timestep: Tensor | int,
        text_BLC: Tensor,
        frames: Tensor | None,
    ) -> Residuals | None:
        """The sum over some of the nets."""
        found = Residuals()
        b, _, f, _, _ = x_BCFHW.shape
        t = torch.as_tensor(timestep, device=x_BCFHW.device).expand(b).repeat_interleave(f)
        for number in at_work:
            net, map_F3HW = self._nets[number]
            if net.config.kind == "t2i_adapter":
                inside = (x if frames is None else x[frames] for x in self._inside(number))
                found.add_inside([x.repeat(b, 1, 1, 1) for x in inside])
                continue
            shown = map_F3HW if frames is None else map_F3HW[frames]
            x_NCHW = x_BCFHW.to(net.dtype).transpose(1, 2).flatten(0, 1)
            text_NLC = text_BLC.to(net.dtype).repeat_interleave(f, dim=0)
            found.add(*net.residuals(x_NCHW, t, text_NLC, shown.repeat(b, 1, 1, 1)))
        return found if found.skips is not None or found.inside is not None else None

    def _inside(self, number: int) -> list[Tensor]:
        """A T2I-Adapter's features of the clip, computed once."""
        if number not in self._features:
            net, map_F3HW = self._nets[number]
            self._features[number] = net.features(map_F3HW)
        return self._features[number]


@dataclass(frozen=True, kw_only=True, slots=True)
class Net:
    """A loaded ControlNet or T2I-Adapter."""

    model: Any
    config: ControlConfig
    device: torch.device
    dtype: torch.dtype

    @torch.no_grad()
    def residuals(
        self, x_NCHW: Tensor, timestep: Tensor, text_NLC: Tensor, map_N3HW: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """A ControlNet's, for each skip connection and the middle block.

        Both halves of guidance are given to it, as its authors do.
        """
        skips, middle = self.model(
            x_NCHW.contiguous(memory_format=torch.channels_last),
            timestep,
            encoder_hidden_states=text_NLC,
            controlnet_cond=map_N3HW,
            conditioning_scale=self.config.weight,
            return_dict=False,
        )
        return list(skips), middle

    @torch.no_grad()
    def features(self, map_F3HW: Tensor) -> list[Tensor]:
        """A T2I-Adapter's features of a clip's maps, weighted."""
        if self.model.config.in_channels == 1:
            map_F3HW = map_F3HW.mean(dim=1, keepdim=True)
        return [x * self.config.weight for x in self.model(map_F3HW)]


def load_net(config: ControlConfig, base: BaseModel) -> Net:
    """Load a ControlNet or T2I-Adapter for a base model.

    Args:
        config: which, and how strong.
        base: what it steers; device and dtype are the base's.

    Raises:
        BaseModelError: a file is missing, damaged or pickled, the folder holds another kind of
            model, or it was made for another base.
    """
    import diffusers  # noqa: PLC0415

    folder = resolve_model(config.model, config.revision, {"": STEMS["unet"]})
    document = read_config(folder / "config.json")
    check_net(config, document, base.unet.config, base.vae.config)
    kind = getattr(diffusers, CLASSES[config.kind])
    state = read_state(weight_files(folder))
    with fitting(folder):
        with torch.device("meta"):
            model: Any = kind.from_config(document)
        check_fit(model, state)
        model.load_state_dict({n: t.to(base.dtype) for n, t in state.items()}, assign=True)
    model.requires_grad_(requires_grad=False)
    model.to(base.device, memory_format=torch.channels_last).eval()
    return Net(model=model, config=config, device=base.device, dtype=base.dtype)
