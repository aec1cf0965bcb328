"""Where the trained models are that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

NAME = "tinyworld"
"""What a configuration calls these models."""
WEIGHTS = Path(__file__).parent / "weights"
"""Folder of all of them, with the manifest that says how they were made."""


def shipped_model(part: Literal["base", "blip2", "clip", "reader"]) -> Path:
    """Folder of one trained model: the diffusion model, BLIP-2, CLIP or the reader."""
    return WEIGHTS / part


def public_name(model: str) -> str:
    """What a table calls a model: one of ours by the name that users give, others as they are."""
    return NAME if Path(model).is_relative_to(WEIGHTS) else model
