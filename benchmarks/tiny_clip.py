"""How long a whole edit of a tinyworld clip takes: tuning, inversion, sampling, decoding.

    python -m benchmarks.tiny_clip --device cuda

The demo's settings and shipped models, without Ray; prints seconds by part.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
import yaml

from tav_model.config import InvertConfig, ModelConfig, SampleConfig, TuneConfig
from tav_model.frames import to_model_range
from tav_model.invert import invert
from tav_model.load import load_base
from tav_model.sample import sample
from tav_model.tune import tune
from tav_model.vae import decode, encode_moments, sample_latents
from tinyworld.clips import CLIPS
from tinyworld.draw import render
from tinyworld.shipped import shipped_model

DEMO = Path("manifests/runs/demo.yaml")
PROMPT = "a blue fish is moving right over the sea"


def main() -> None:
    """Make one edit and say what took how long."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--steps", type=int, help="of tuning, in place of the demo's")
    options = parser.parse_args()
    print(", ".join(f"{part} {took:.2f} s" for part, took in measured(options).items()))


def measured(options: argparse.Namespace) -> dict[str, float]:
    """Seconds by part, and in all.

    Args:
        options: device, dtype and steps.
    """
    demo = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    numbers = demo["tune"] | ({} if options.steps is None else {"steps": options.steps})
    scene = CLIPS["fish"]
    frames = torch.from_numpy(render(scene, demo["video"]["num_frames"]).frames)
    device, took, last = torch.device(options.device), dict[str, float](), time.perf_counter()

    def lap(part: str) -> None:
        nonlocal last
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        now = time.perf_counter()
        took[part], last = now - last, now

    config = ModelConfig(
        base=str(shipped_model("base")), device=options.device, dtype=options.dtype
    )
    base = load_base(config)
    lap("loading")
    moments = encode_moments(base, to_model_range(frames.numpy()))
    lap("encoding")
    tune(base, moments, scene.caption(), TuneConfig(**numbers), seed=33)
    lap("tuning")
    clean = sample_latents(moments, torch.Generator().manual_seed(33))
    start = invert(base, clean, InvertConfig(**demo["invert"]))
    lap("inversion")
    (edit,) = sample(base, start, [PROMPT], SampleConfig(**demo["sample"]))
    lap("sampling")
    decode(base, edit)
    lap("decoding")
    return took | {"in all": sum(took.values())}


if __name__ == "__main__":
    main()
