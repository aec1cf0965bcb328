"""A tiny base model of real components, and a clip for it."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tav_model.adapter import reset_adapter
from tav_model.config import ModelConfig
from tav_model.load import BaseModel, load_base
from tests.random_models import build_base_model


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_base_model(tmp_path_factory.mktemp("models") / "eps")


@pytest.fixture(scope="session")
def velocity_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SD 2.x's ways: v-prediction, linear projections, heads per block; and three blocks."""
    config = {
        "block_out_channels": (16, 32, 32),
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        "use_linear_projection": True,
        "attention_head_dim": (2, 4, 4),
    }
    folder = tmp_path_factory.mktemp("models") / "v"
    return build_base_model(folder, prediction_type="v_prediction", unet_config=config)


@pytest.fixture(scope="session")
def loaded(base_folder: Path) -> BaseModel:
    return load_base(ModelConfig(base=str(base_folder)))


@pytest.fixture
def base(loaded: BaseModel) -> BaseModel:
    reset_adapter(loaded)
    loaded.unet.disable_gradient_checkpointing()
    return loaded


@pytest.fixture(scope="session")
def velocity_base(velocity_folder: Path) -> BaseModel:
    return load_base(ModelConfig(base=str(velocity_folder)))


@pytest.fixture(scope="session")
def frames() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (4, 32, 48, 3), dtype=np.uint8)
