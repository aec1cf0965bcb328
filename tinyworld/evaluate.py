"""How good the trained models are: ``python -m tinyworld.evaluate`` prints a table.

Everything is measured on combinations of colour, shape, background and style that no training saw.
This is the one module here that imports the pipeline's own loaders, so that what is measured is
what users run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyworld.draw import render_at
from tinyworld.scenes import Scene, random_scene

WEIGHTS = Path(__file__).parent / "weights"
_BATCH = 32
_GUIDANCE = 4.0
_STEPS = 30


def scenes(count: int, seed: int) -> list[Scene]:
    """Random scenes of combinations that no training saw."""
    rng = np.random.default_rng(seed)
    return [random_scene(rng, held_out=True) for _ in range(count)]


def stills(worlds: Sequence[Scene]) -> npt.NDArray[np.uint8]:
    """One frame of each scene, (N, 64, 64, 3), at a time that its seed decides."""
    times = [np.random.default_rng(world.seed).uniform(size=1) for world in worlds]
    return np.stack(
        [render_at(world, time).frames[0] for world, time in zip(worlds, times, strict=True)]
    )


def sampled(weights: Path, worlds: Sequence[Scene], device: str, seed: int = 0) -> Any:
    """Images that the diffusion model makes of the scenes' captions, (N, 64, 64, 3) uint8."""
    import torch  # noqa: PLC0415 - seconds that --help need not pay
    from diffusers import StableDiffusionPipeline  # noqa: PLC0415

    pipe = StableDiffusionPipeline.from_pretrained(
        weights / "base", torch_dtype=torch.float32, safety_checker=None
    ).to(device)
    pipe.set_progress_bar_config(disable=True)
    images: list[npt.NDArray[np.uint8]] = []
    for first in range(0, len(worlds), _BATCH):
        out = pipe(
            [world.caption() for world in worlds[first : first + _BATCH]],
            num_inference_steps=_STEPS,
            guidance_scale=_GUIDANCE,
            height=64,
            width=64,
            generator=torch.Generator().manual_seed(seed + first),
            output_type="np",
        ).images
        images.append((out * 255).round().astype(np.uint8))
    return np.concatenate(images)


def read_right(
    frames: npt.NDArray[np.uint8], worlds: Sequence[Scene], weights: Path
) -> dict[str, float]:
    """Percent of frames in which the reader reads each attribute of their scenes."""
    from tinyworld.reader import Reader  # noqa: PLC0415

    reading = Reader.load(weights / "reader").read(frames)
    out = {
        name: 100
        * float(np.mean([r == getattr(w, name) for r, w in zip(read, worlds, strict=True)]))
        for name, read in reading.attributes.items()
    }
    return out | {"object present": 100 * float((reading.present > 0.5).mean())}  # noqa: PLR2004


def vae_psnr(weights: Path, frames: npt.NDArray[np.uint8], device: str) -> float:
    """Mean over frames of the peak signal-to-noise ratio of their reconstructions, in dB."""
    import torch  # noqa: PLC0415
    from diffusers import AutoencoderKL  # noqa: PLC0415

    vae = AutoencoderKL.from_pretrained(weights / "base/vae", torch_dtype=torch.float32).to(device)
    x = torch.from_numpy(frames).to(device).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        out = torch.cat(
            [
                vae.decode(vae.encode(part / 127.5 - 1).latent_dist.mean).sample
                for part in torch.split(x, 64)
            ]
        )
    error = ((out.clamp(-1, 1) + 1) * 127.5).round().sub(x).square().mean(dim=(1, 2, 3))
    return float((10 * torch.log10(255**2 / error)).mean())
