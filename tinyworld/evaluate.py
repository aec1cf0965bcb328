"""How good the trained models are: ``python -m tinyworld.evaluate`` prints a table.

Everything is measured on combinations of colour, shape, background and style that no training saw,
on stills of one thing and of two apart.
This is the one module here that imports the pipeline's own loaders, so that what is measured is
what users run.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyworld.draw import render_at, still_time, stills
from tinyworld.maps import canny, depth
from tinyworld.measures import (
    binding_accuracy,
    caption_accuracy,
    details_read,
    edit_accuracy,
    retrieval_accuracy,
    visible_scenes,
    words_right,
)
from tinyworld.reader import Reader
from tinyworld.scenes import STYLES, Scene
from tinyworld.shipped import NETS, WEIGHTS, Net
from tinyworld.steered import in_front, placed

_BATCH = 32
_GUIDANCE = 4.0
_STEPS = 30
_COUNTS = {1: "one thing", 2: "two things"}


def sampled(
    weights: Path, worlds: Sequence[Scene], device: str, seed: int = 0, net: Net | None = None
) -> Any:
    """Images that the diffusion model makes of the scenes' captions, (N, 64, 64, 3) uint8.

    Args:
        weights: folder of all models.
        worlds: the scenes.
        device: where to sample.
        seed: of the noise, which is the same whatever the net.
        net: what steers it, shown maps of the scenes' stills.
    """
    import torch  # noqa: PLC0415 - seconds that --help need not pay

    pipe = _pipeline(weights, net).to(device)
    pipe.set_progress_bar_config(disable=True)
    images: list[npt.NDArray[np.uint8]] = []
    for first in range(0, len(worlds), _BATCH):
        some = worlds[first : first + _BATCH]
        shown = {} if net is None else {"image": torch.from_numpy(_maps(net, some))}
        out = pipe(
            [world.caption() for world in some],
            num_inference_steps=_STEPS,
            guidance_scale=_GUIDANCE,
            height=64,
            width=64,
            generator=torch.Generator().manual_seed(seed + first),
            output_type="np",
            **shown,
        ).images
        images.append((out * 255).round().astype(np.uint8))
    return np.concatenate(images)


def _pipeline(weights: Path, net: Net | None) -> Any:
    """The pipeline of diffusers for the base, with a net or without."""
    import diffusers  # noqa: PLC0415
    import torch  # noqa: PLC0415

    given: dict[str, Any] = {"torch_dtype": torch.float32, "low_cpu_mem_usage": False}
    kind: Any = diffusers.StableDiffusionPipeline
    parts: dict[str, Any] = {}
    if net is not None and net.startswith("controlnet"):
        kind = diffusers.StableDiffusionControlNetPipeline
        parts["controlnet"] = diffusers.ControlNetModel.from_pretrained(weights / net, **given)
    elif net is not None:
        kind = diffusers.StableDiffusionAdapterPipeline
        parts["adapter"] = diffusers.T2IAdapter.from_pretrained(weights / net, **given)
    return kind.from_pretrained(weights / "base", safety_checker=None, **parts, **given)


def _maps(net: Net, worlds: Sequence[Scene]) -> npt.NDArray[np.float32]:
    """What a net is shown of the scenes' stills: (N, 3, 64, 64) in 0 to 1."""
    clips = [render_at(world, still_time(world)) for world in worlds]
    if net.endswith("canny"):
        maps = canny(np.concatenate([clip.frames for clip in clips]))
    else:
        maps = depth(np.concatenate([clip.near for clip in clips]))
    return np.asarray(maps.transpose(0, 3, 1, 2) / 255, dtype=np.float32)


def vae_psnr(weights: Path, frames: npt.NDArray[np.uint8], device: str) -> npt.NDArray[np.float64]:
    """Peak signal-to-noise ratio of each frame's reconstruction in dB, (N,)."""
    import torch  # noqa: PLC0415
    from diffusers import AutoencoderKL  # noqa: PLC0415

    vae = AutoencoderKL.from_pretrained(
        weights / "base/vae", torch_dtype=torch.float32, low_cpu_mem_usage=False
    ).to(device)
    x = torch.from_numpy(frames).to(device).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        out = torch.cat(
            [
                vae.decode(vae.encode(part / 127.5 - 1).latent_dist.mean).sample
                for part in torch.split(x, 64)
            ]
        )
    error = ((out.clamp(-1, 1) + 1) * 127.5).round().sub(x).square().mean(dim=(1, 2, 3))
    found: npt.NDArray[np.float64] = (10 * torch.log10(255**2 / error)).double().cpu().numpy()
    return found


def measure(weights: Path, parts: Sequence[str], count: int, device: str) -> dict[str, Any]:
    """Measure the named parts; see `PARTS`."""
    worlds = {things: visible_scenes(count, seed=2024, things=things) for things in (1, 2)}
    return {
        part: {
            f"{name}, {_COUNTS[things]}": value
            for things, scenes in worlds.items()
            for name, value in PARTS[part](weights, scenes, device).items()
        }
        for part in parts
    }


def _samples(weights: Path, worlds: Sequence[Scene], device: str) -> dict[str, float]:
    frames = sampled(weights, worlds, device)
    return words_right(Reader.load(weights / "reader").read(frames), worlds)


def _reader(weights: Path, worlds: Sequence[Scene], device: str) -> dict[str, float]:
    reader = Reader.load(weights / "reader", device=device)
    return words_right(reader.read(stills(worlds)), worlds) | {
        f"detail {name}": value for name, value in details_read(reader, worlds).items()
    }


def _vae(weights: Path, worlds: Sequence[Scene], device: str) -> dict[str, float]:
    each = vae_psnr(weights, stills(worlds), device)
    of = {style: each[[w.style == style for w in worlds]] for style in STYLES}
    return {"all styles": float(each.mean())} | {
        style: float(some.mean()) for style, some in of.items() if len(some)
    }


def _clip(weights: Path, worlds: Sequence[Scene], device: str) -> dict[str, float]:
    from eval.clip_encoder import ClipEncoder  # noqa: PLC0415

    encoder = ClipEncoder(str(weights / "clip"), device=device)
    encoders = encoder.encode_frames, encoder.encode_text
    found = {"among 32": retrieval_accuracy(*encoders, worlds)}
    found |= {f"by {name}": value for name, value in edit_accuracy(*encoders, worlds).items()}
    if len(worlds[0].things) > 1:
        found["which has which colour, among 4"] = binding_accuracy(*encoders, worlds)
    return found


def _blip2(weights: Path, worlds: Sequence[Scene], device: str) -> dict[str, float]:
    from components.captioning.blip2 import Blip2Captioner  # noqa: PLC0415
    from components.config import CaptionConfig  # noqa: PLC0415

    captioner = Blip2Captioner(CaptionConfig(model=str(weights / "blip2"), device=device))

    def caption(frames: Sequence[npt.NDArray[np.uint8]]) -> list[str]:
        batches = [frames[i : i + _BATCH] for i in range(0, len(frames), _BATCH)]
        return [text for batch in batches for text in captioner(batch)]

    return caption_accuracy(caption, worlds)


def _control(weights: Path, worlds: Sequence[Scene], device: str) -> dict[str, float]:
    reader = Reader.load(weights / "reader")
    found: dict[str, float] = {}
    for net in (None, *NETS):
        frames: npt.NDArray[np.uint8] = sampled(weights, worlds, device, net=net)
        reading, name = reader.read(frames), net or "no net"
        found[f"things in place, {name}"] = placed(reading, worlds)
        found[f"things right, {name}"] = words_right(reading, worlds)["things"]
        if len(worlds[0].things) > 1 and (front := in_front(frames, worlds)) is not None:
            found[f"who is in front, {name}"] = front
    return found


Measure = Callable[[Path, Sequence[Scene], str], dict[str, float]]
PARTS: dict[str, Measure] = {
    "reader": _reader,
    "vae": _vae,
    "samples": _samples,
    "clip": _clip,
    "blip2": _blip2,
    "control": _control,
}
_UNITS = {"vae": "dB PSNR"}


def main() -> None:
    """Measure what the command line names and print it."""
    parser = argparse.ArgumentParser(prog="tinyworld.evaluate", description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="default: those shipped")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=tuple(PARTS))
    parser.add_argument(
        "--count", type=int, default=256, help="scenes of one thing, and as many of two"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    found = measure(args.weights, args.parts, args.count, args.device)
    if args.json:
        print(json.dumps(found, indent=2))
        return
    for part, figures in found.items():
        print(f"{part} ({_UNITS.get(part, '% right')}, {args.count} scenes)")
        for name, value in figures.items():
            print(f"  {name:46}{value:8.2f}")


if __name__ == "__main__":
    main()
