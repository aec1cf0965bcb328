"""What all tests share: no network, one thread, tiny real models and clips made once a session."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before any import of the hub's client
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from pathlib import Path

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
# No deadline for one example: on a busy machine none would be fair.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


INTEGRATION = Path(__file__).parent / "integration"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deal files, not tests, to the processes of `make test`, so that fixtures are made once.

    One process has all integration tests: they share a Ray and an S3 server, and kill processes.
    """
    for item in items:
        group = INTEGRATION if item.path.is_relative_to(INTEGRATION) else item.path
        item.add_marker(pytest.mark.xdist_group(str(group.relative_to(INTEGRATION.parent))))


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the user's own cache folder out of the tests, and the tests out of it."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``base/`` (Stable Diffusion layout), ``blip2/`` and ``clip/``; read only."""
    from tests.random_models import build_all

    folder = tmp_path_factory.mktemp("tiny") / "models"
    build_all(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the demo's mp4 clips ``fish``, ``car``, ``star`` and ``ball``; read only."""
    from tinyworld.clips import write_clips

    folder = tmp_path_factory.mktemp("tiny") / "clips"
    write_clips(folder)
    return folder
