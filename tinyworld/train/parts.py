"""How each part is trained, and where its result goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tinyworld.train.data import Stills
from tinyworld.train.loop import Settings, steps_done, world
from tinyworld.train.record import write_record

SETTINGS = {
    "vae": Settings(steps=2400, batch=32, learning_rate=1e-3, seed=11, bf16=True),
    "diffusion": Settings(steps=12_000, batch=32, learning_rate=6e-4, seed=12, bf16=True),
    "reader": Settings(steps=2500, batch=64, learning_rate=2e-3, seed=13, bf16=True),
    "clip": Settings(steps=2500, batch=64, learning_rate=1e-3, seed=14),
    "blip2": Settings(steps=2500, batch=64, learning_rate=1e-3, seed=15),
}
"""Tried on two CPU cores; a GPU takes the same."""


def train_part(
    part: str, data: Stills, changes: Mapping[str, Any], out: Path, device: torch.device
) -> None:
    """Train one part and write its model's folder.

    Args:
        part: one of `SETTINGS`.
        data: the stills.
        changes: settings in place of the part's own.
        out: folder of stills and checkpoints; models go to its `weights` folder.
        device: where to train.
    """
    settings = replace(SETTINGS[part], **changes)
    if part == "vae":
        from tinyworld.train.vae import train_vae  # noqa: PLC0415

        model = train_vae(data, settings, out, device)
        if world()[0] == 0:
            model.half().save_pretrained(out / "weights/base/vae")
    elif part == "diffusion":
        from diffusers import AutoencoderKL  # noqa: PLC0415

        from tinyworld.train.diffusion import save_base, train_diffusion  # noqa: PLC0415

        base = out / "weights/base"
        vae = AutoencoderKL.from_pretrained(base / "vae", torch_dtype=torch.float32).to(device)
        both = train_diffusion(vae, data, settings, out, device)
        if world()[0] == 0:
            save_base(both, base)
    elif part == "reader":
        from tinyworld.train.reader import train_reader  # noqa: PLC0415

        reader = train_reader(data, settings, out, device)
        if world()[0] == 0:
            reader.save(out / "weights/reader")
    elif part == "clip":
        from tinyworld.train.clip import save_clip, train_clip  # noqa: PLC0415

        clip = train_clip(data, settings, out, device)
        if world()[0] == 0:
            save_clip(clip, out / "weights/clip")
    elif part == "blip2":
        from tinyworld.train.blip2 import save_blip2, train_blip2  # noqa: PLC0415

        blip2 = train_blip2(data, settings, out, device)
        if world()[0] == 0:
            save_blip2(blip2, out / "weights/blip2")
    if world()[0] == 0:
        done = steps_done(out, part)
        write_record(out, part, settings, stills=len(data), steps=done, device=str(device))
