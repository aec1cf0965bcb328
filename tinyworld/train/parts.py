"""How each part is trained, and where its result goes."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tinyworld.shipped import NETS, Net
from tinyworld.train.data import Stills
from tinyworld.train.loop import Settings, steps_done, world
from tinyworld.train.record import write_record

logger = logging.getLogger(__name__)

SETTINGS = {
    "vae": Settings(steps=4000, batch=32, learning_rate=1e-3, seed=11, bf16=True),
    "diffusion": Settings(steps=8000, batch=32, learning_rate=6e-4, seed=12, bf16=True),
    "reader": Settings(steps=5000, batch=64, learning_rate=2e-3, seed=13, bf16=True),
    "clip": Settings(steps=6000, batch=64, learning_rate=1e-3, seed=14, bf16=True),
    "blip2": Settings(steps=5000, batch=64, learning_rate=1e-3, seed=15, bf16=True),
    "controlnet_depth": Settings(steps=3000, batch=32, learning_rate=3e-4, seed=16, bf16=True),
    "controlnet_canny": Settings(steps=3000, batch=32, learning_rate=3e-4, seed=17, bf16=True),
    "t2i_adapter_canny": Settings(steps=3000, batch=32, learning_rate=6e-4, seed=18, bf16=True),
}
"""Chosen for two CPU cores. Everyone's seed differs: the scorer's words are not the generator's."""

Save = Callable[[Path], object]
"""Writes a trained model into the folder of all models."""


def train_part(
    part: str, data: Stills, changes: Mapping[str, Any], out: Path, device: torch.device
) -> None:
    """Train one part, write its model's folder and note how it was made.

    Args:
        part: one of `SETTINGS`.
        data: the stills.
        changes: settings in place of the part's own. Without ``bf16`` among them, a CPU that has no
            kernels for it computes in fp32, which the log and the record say.
        out: folder of stills and checkpoints; models go to its `weights` folder.
        device: where to train.
    """
    settings = replace(SETTINGS[part], **changes)
    if settings.bf16 and "bf16" not in changes and not _has_bf16(device):
        logger.warning("%s in fp32: this CPU has no kernels for bf16, which takes far longer", part)
        settings = replace(settings, bf16=False)
    save = _TRAIN[part](data, settings, out, device)
    if world()[0] == 0:
        save(out / "weights")
        done = steps_done(out, part)
        write_record(out, part, settings, stills=len(data), steps=done, device=str(device))


def _has_bf16(device: torch.device) -> bool:
    return device.type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001


# The heavy imports stay inside, so that each part pays for its own only.
# ruff: noqa: PLC0415


def _vae(data: Stills, settings: Settings, out: Path, device: torch.device) -> Save:
    from tinyworld.train.vae import train_vae

    vae = train_vae(data, settings, out, device)
    return lambda weights: vae.half().save_pretrained(weights / "base/vae")


def _diffusion(data: Stills, settings: Settings, out: Path, device: torch.device) -> Save:
    from diffusers import AutoencoderKL

    from tinyworld.train.diffusion import save_base, train_diffusion

    folder = out / "weights/base/vae"
    vae = AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32).to(device)
    model = train_diffusion(vae, data, settings, out, device)
    return lambda weights: save_base(model, weights / "base")


def _reader(data: Stills, settings: Settings, out: Path, device: torch.device) -> Save:
    from tinyworld.train.reader import train_reader

    reader = train_reader(data, settings, out, device)
    return lambda weights: reader.save(weights / "reader")


def _clip(data: Stills, settings: Settings, out: Path, device: torch.device) -> Save:
    from tinyworld.train.clip import save_clip, train_clip

    clip = train_clip(data, settings, out, device)
    return lambda weights: save_clip(clip, weights / "clip")


def _blip2(data: Stills, settings: Settings, out: Path, device: torch.device) -> Save:
    from tinyworld.train.blip2 import save_blip2, train_blip2

    blip2 = train_blip2(data, settings, out, device)
    return lambda weights: save_blip2(blip2, weights / "blip2")


def _net(net: Net, data: Stills, settings: Settings, out: Path, device: torch.device) -> Save:
    from tinyworld.train.controls import train_net

    model = train_net(net, out / "weights/base", data, settings, out, device)
    return lambda weights: model.half().save_pretrained(weights / net)


_TRAIN: dict[str, Callable[[Stills, Settings, Path, torch.device], Save]] = {
    "vae": _vae,
    "diffusion": _diffusion,
    "reader": _reader,
    "clip": _clip,
    "blip2": _blip2,
    **{net: functools.partial(_net, net) for net in NETS},
}
