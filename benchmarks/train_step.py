"""Seconds and memory of one tuning, sampling, inversion, encoding and decoding step.

    python -m benchmarks.train_step --json --config medium --threads 2
    python -m benchmarks.train_step --json --config sd14 --device cuda --dtype bf16

Every part runs in a process of its own, so that each one's peak memory is its own.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.sizes import SIZES, Sizes, random_base

if TYPE_CHECKING:
    from tav_model.load import BaseModel

_GUIDANCE = 12.5


def main() -> None:
    """Measure what the command line asks for."""
    parser = _parser()
    args = parser.parse_args()
    if args.part:
        print(json.dumps(_measure(args)))
        return
    parts = {}
    for part in args.parts or PARTS:
        command = [sys.executable, "-m", "benchmarks.train_step", *sys.argv[1:], "--part", part]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True)  # noqa: S603
        if done.returncode:
            parser.exit(1, f"part {part} failed with exit code {done.returncode}\n")
        parts[part] = json.loads(done.stdout.splitlines()[-1])
    names = "config device dtype threads plain checkpointing compile attention_backend repeats"
    out = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "settings": {name: getattr(args, name) for name in names.split()},
        "parts": parts,
    }
    print(json.dumps(out, indent=2) if args.json else _table(parts))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.train_step", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--config", choices=SIZES, default="medium")
    parser.add_argument("--channels", help="UNet channels per resolution, such as 64,128,256,256")
    parser.add_argument("--heads", type=int)
    parser.add_argument("--text-channels", type=int)
    parser.add_argument("--frames", type=int)
    parser.add_argument("--latent-size", type=int, help="side of the square latents")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of torch")
    parser.add_argument("--checkpointing", action="store_true", help="gradient checkpointing")
    parser.add_argument("--compile", action="store_true", help="torch.compile the UNet")
    parser.add_argument("--attention-backend", default="native")
    parser.add_argument("--plain", action="store_true", help="without speed-ups (plain.py)")
    parser.add_argument("--repeats", type=int, default=5, help="measured after one warm-up")
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="default: all")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    return parser


def _sizes(args: argparse.Namespace) -> Sizes:
    names = ("heads", "text_channels", "frames", "latent_size")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.channels:
        given["channels"] = tuple(int(c) for c in args.channels.split(","))
    return replace(SIZES[args.config], **given)


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    """Run one part in this process."""
    import torch  # noqa: PLC0415 - the parent process, which only waits, stays small

    from tav_model.config import ModelConfig  # noqa: PLC0415

    torch.set_num_threads(args.threads)
    sizes = _sizes(args)
    config = ModelConfig(
        base="random",
        device=args.device,
        dtype=args.dtype,
        attention_backend=args.attention_backend,
        compile=args.compile,
    )
    base = random_base(sizes, config)
    if args.plain:
        from benchmarks.plain import make_plain  # noqa: PLC0415

        make_plain(base.unet)
    before = _matmul_rate(base)
    cuda = base.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(base.device)
    seconds = PARTS[args.part](base, sizes, args)[1:]  # the first is the warm-up
    out = {
        "median_s": statistics.median(seconds),
        "seconds": seconds,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "peak_cuda_bytes": torch.cuda.max_memory_allocated(base.device) if cuda else None,
        "matmul_flops": [before, _matmul_rate(base)],
        "machine": torch.cuda.get_device_name(base.device) if cuda else _cpu(),
        "torch": torch.__version__,
        "flops": _flops(base, sizes, args),
        "unet_parameters": sum(p.numel() for p in base.unet.parameters()),
        "sizes": {name: getattr(sizes, name) for name in Sizes.__slots__},
    }
    return {k: v for k, v in out.items() if v is not None}


def _tune(base: BaseModel, sizes: Sizes, args: argparse.Namespace) -> list[float]:
    """One optimiser step of the UNet, from latents and text that are already there."""
    import torch  # noqa: PLC0415

    from tav_model.config import TuneConfig  # noqa: PLC0415
    from tav_model.trainer import Trainer  # noqa: PLC0415

    if args.checkpointing:
        base.unet.enable_gradient_checkpointing()
    trainer = Trainer(base.unet, base.scheduler, TuneConfig())
    latents, noise = (_latents(base, sizes)[None] for _ in range(2))
    text = torch.randn(1, 77, sizes.text_channels, device=base.device)
    timestep = torch.tensor([500], device=base.device)
    return _clock(base, args.repeats, lambda: trainer.step(latents, noise, timestep, text))


def _sample(base: BaseModel, sizes: Sizes, args: argparse.Namespace) -> list[float]:
    """One guided DDIM step of one prompt: the UNet on two clips."""
    import torch  # noqa: PLC0415

    from tav_model.config import SampleConfig  # noqa: PLC0415
    from tav_model.sample import denoise  # noqa: PLC0415

    config = SampleConfig(steps=args.repeats + 2, guidance_scale=_GUIDANCE)
    text = torch.randn(2, 77, sizes.text_channels, device=base.device)
    watch = _Watch(base)
    with torch.no_grad():
        start = _latents(base, sizes)[None]
        denoise(base, start, text, config, on_step=lambda _: watch.lap())
    return watch.laps()


def _invert(base: BaseModel, sizes: Sizes, args: argparse.Namespace) -> list[float]:
    """One inversion step: the UNet on one clip."""
    from tav_model.config import InvertConfig  # noqa: PLC0415
    from tav_model.invert import invert  # noqa: PLC0415

    watch = _Watch(base)
    config = InvertConfig(steps=args.repeats + 2)
    invert(base, _latents(base, sizes), config, on_step=lambda *_: watch.lap())
    return watch.laps()


def _encode(base: BaseModel, sizes: Sizes, args: argparse.Namespace) -> list[float]:
    """The VAE's posterior of a whole clip."""
    import torch  # noqa: PLC0415

    from tav_model.vae import encode_moments  # noqa: PLC0415

    side = 2 ** (len(sizes.vae_channels) - 1) * sizes.latent_size
    frames = torch.rand(sizes.frames, 3, side, side) * 2 - 1
    return _clock(base, args.repeats, lambda: encode_moments(base, frames))


def _decode(base: BaseModel, sizes: Sizes, args: argparse.Namespace) -> list[float]:
    """A whole clip's latents to 8-bit frames."""
    from tav_model.vae import decode  # noqa: PLC0415

    latents = _latents(base, sizes)
    return _clock(base, args.repeats, lambda: decode(base, latents))


PARTS: dict[str, Callable[[BaseModel, Sizes, argparse.Namespace], list[float]]] = {
    "train_step": _tune,
    "guided_step": _sample,
    "inversion_step": _invert,
    "vae_encode": _encode,
    "vae_decode": _decode,
}


def _flops(base: BaseModel, sizes: Sizes, args: argparse.Namespace) -> float:
    """What one measured repetition of the part computes, by count."""
    from tav_model.cost import unet_cost  # noqa: PLC0415
    from tav_model.cost_vae import vae_cost  # noqa: PLC0415
    from tav_model.cost_walk import ClipSize  # noqa: PLC0415

    side = sizes.latent_size
    clip = ClipSize(frames=sizes.frames, height=side, width=side)
    unet = unet_cost(base.unet.config, clip, base.config.attention_mode)
    vae = vae_cost(base.vae.config, clip)
    counted: dict[str, float] = {
        "train_step": unet.train + args.checkpointing * unet.recompute,
        "guided_step": 2 * unet.forward,
        "inversion_step": unet.forward,
        "vae_encode": vae.encode,
        "vae_decode": vae.decode,
    }
    return counted[str(args.part)]


class _Watch:
    """Times between laps; a GPU's queue is emptied at each."""

    def __init__(self, base: BaseModel) -> None:
        self._cuda = base.device.type == "cuda"
        self._times: list[float] = []

    def lap(self) -> None:
        if self._cuda:
            import torch  # noqa: PLC0415

            torch.cuda.synchronize()
        self._times.append(time.perf_counter())

    def laps(self) -> list[float]:
        return [b - a for a, b in zip(self._times, self._times[1:], strict=False)]


def _clock(base: BaseModel, repeats: int, work: Callable[[], object]) -> list[float]:
    watch = _Watch(base)
    watch.lap()
    for _ in range(repeats + 1):
        work()
        watch.lap()
    return watch.laps()


def _latents(base: BaseModel, sizes: Sizes) -> Any:
    import torch  # noqa: PLC0415

    side = sizes.latent_size
    return torch.randn(4, sizes.frames, side, side, device=base.device)


def _matmul_rate(base: BaseModel) -> float:
    """FLOP/s of a square matmul in the compute dtype: how fast this machine is right now."""
    import torch  # noqa: PLC0415

    side = 8192 if base.device.type == "cuda" else 2048
    a = torch.randn(side, side, device=base.device).to(base.dtype)
    return 2 * side**3 / min(_clock(base, 4, lambda: a @ a))


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = models[0] if models else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def _table(parts: dict[str, dict[str, Any]]) -> str:
    rows = [
        f"{'part':16} {'median s':>9} {'peak RSS MB':>12} {'CUDA MB':>8} {'GFLOP/s of matmul':>18}"
    ]
    for name, got in parts.items():
        cuda = f"{got['peak_cuda_bytes'] / 1e6:.0f}" if "peak_cuda_bytes" in got else "-"
        rates = " ".join(f"{rate / 1e9:.0f}" for rate in got["matmul_flops"])
        rss = got["peak_rss_bytes"] / 1e6
        rows.append(f"{name:16} {got['median_s']:9.3f} {rss:12.0f} {cuda:>8} {rates:>18}")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
