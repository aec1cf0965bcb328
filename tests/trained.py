"""A part of the tiny world, trained for a few steps on a few stills."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from tinyworld.train.data import stills
from tinyworld.train.parts import train_part


def few_steps(part: Literal["blip2", "clip"], out: Path) -> Path:
    """Train a part into a folder, log and weights, and return the folder."""
    changes = {"steps": 100, "batch": 8, "warmup": 10}
    train_part(part, stills(out, 64, seed=3), changes, out, torch.device("cpu"))
    return out
