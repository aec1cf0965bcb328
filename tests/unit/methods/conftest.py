"""A tiny base model in Stable Diffusion's layout, a clip for it, and methods on it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from methods.atlas_losses import Footage
from methods.atlas_training import TrainedAtlas, train_atlas
from methods.method import Frames
from tests.random_models import build_base_model
from tests.tiny_atlas import ATLAS, drawn, masks


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_base_model(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="session")
def frames() -> Frames:
    """Four frames that change little from one to the next, as a clip's do."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (4, 4, 6, 3)).astype(np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


@pytest.fixture(scope="session")
def tiny_atlas() -> TrainedAtlas:
    """The drawn clip's atlas: the longest of these, so it is trained once."""
    clip = drawn()
    footage = Footage.of(clip.frames, masks(clip), torch.device("cpu"))
    return train_atlas(
        footage, ATLAS, seed=7, on_step=lambda *_: None, on_checkpoint=lambda _: None
    )
