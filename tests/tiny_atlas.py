"""A drawn clip and settings with which its layered atlas is trained in seconds on a CPU."""

from __future__ import annotations

import numpy as np

from methods.method import ClipSize, Masks
from methods.text2live_config import AtlasConfig
from tinyworld.clips import CLIPS
from tinyworld.draw import Clip, render

SCENE = "fish"
SIZE = ClipSize(num_frames=8, width=64, height=64)
ATLAS = AtlasConfig(
    steps=400,
    samples=500,
    learning_rate=0.0015,
    width=64,
    foreground_layers=3,
    background_layers=3,
    alpha_layers=3,
    atlas_layers=4,
    alpha_frequencies=4,
    atlas_frequencies=6,
    pretrain_steps=5,
    bootstrap_steps=400,
    global_rigidity_steps=40,
    global_rigidity_distance=8,
    checkpoint_every=0,
)


def drawn(name: str = SCENE) -> Clip:
    """The demo's scene in 8 frames, with its masks."""
    return render(CLIPS[name], SIZE.num_frames)


def masks(clip: Clip) -> Masks:
    """Where its things are, as one mask of what is to be edited: (F, H, W)."""
    return np.asarray(clip.masks.any(axis=1))
