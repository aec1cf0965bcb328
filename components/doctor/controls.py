"""What steers edits, for real: nets are loaded and asked beside the base, makers make two maps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from components.controls.maker import make_maker, maker_models, net_name
from components.controls.maps import checked
from components.doctor.finding import Finding, failed
from components.errors import ItemError, UserError
from components.manifest.load import Manifest
from components.records.revisions import hub_revision
from components.run.controlled import kinds_asked, nets_asked
from methods.method import Frames

if TYPE_CHECKING:
    from components.config import RunConfig
    from tav_model.config import ControlConfig
    from tav_model.load import BaseModel

_FRAMES = 2
_OUT_OF_REACH = (UserError, ItemError, ValueError, OSError, RuntimeError, ImportError)


def controls(
    model: BaseModel,
    config: RunConfig,
    frames: Frames,
    manifest: Manifest | None,
    revisions: Mapping[str, str],
) -> Iterator[Finding]:
    """Load a variant's nets and what makes its maps, one at a time, and ask each once.

    Args:
        model: The base.
        config: Of the variant.
        frames: Of a clip, (F, H, W, 3) uint8 RGB.
        manifest: Whose videos may have nets of their own; none where it cannot be read.
        revisions: Of nets and makers' models by ``controls.maker.model_name``.
    """
    entries = () if manifest is None else manifest.videos
    shown = frames[:_FRAMES]
    for net in nets_asked(config, entries):
        exact = revisions.get(net_name(net), "")
        pinned = dataclasses.replace(net, revision=hub_revision(exact) if exact else net.revision)
        try:
            yield _asked(model, pinned, shown)
        except _OUT_OF_REACH as error:
            yield failed("trial", f"net {net.model}", error)
    for kind in kinds_asked(config, entries):
        if not maker_models(config.control, kind):
            continue
        try:
            made = make_maker(config.control, kind, revisions)(shown)
            level = checked(kind, made, shown).mean()
            yield Finding("trial", f"maps: {kind}", f"made, of mean level {level:.0f} of 255")
        except _OUT_OF_REACH as error:
            yield failed("trial", f"maps: {kind}", error)


def _asked(model: BaseModel, net: ControlConfig, frames: Frames) -> Finding:
    """What a net adds of noise at the middle of the schedule, shown pictures in place of maps."""
    import torch

    from tav_model.control import Steering, load_net
    from tav_model.text import encode_prompts

    check = f"net {net.model}"
    loaded = load_net(net, model)
    maps = torch.from_numpy(frames).permute(0, 3, 1, 2) / 255
    factor = 2 ** (len(model.vae.config.block_out_channels) - 1)
    count, height, width, _ = frames.shape
    shape = (1, model.unet.config.in_channels, count, height // factor, width // factor)
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(model.device)
    middle = int(model.scheduler.config.num_train_timesteps) // 2
    text = encode_prompts(model, [""])
    steering = Steering([loaded], [maps])
    with torch.no_grad():
        residuals = steering.everywhere(latents, middle, text)
        assert residuals is not None  # a net is at work
        given = [*(residuals.skips or []), *(residuals.inside or [])]
        sound = all(bool(torch.isfinite(one).all()) for one in given)
        model.unet(latents, middle, text, steering.step(0, 1))
    found = f"{net.kind}, loads and fits the base"
    if not sound:
        remedy = "set model.dtype to fp32 or bf16; if that does not help, the net is damaged"
        return Finding("trial", check, f"{found}, but gives NaN or infinity", "fail", remedy)
    return Finding("trial", check, found)
