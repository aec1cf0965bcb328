"""What all tests share: no network, one thread, tiny real models and clips made once a session."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before any import of the hub's client
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# Ray's workers would wait for all other processes of the machine, such as the tests beside them.
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - as Ray spells it

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from typing_extensions import override
from xdist.scheduler import LoadScopeScheduling

torch.set_num_threads(1)
# No deadline for one example: on a busy machine none would be fair. Every run draws others.
settings.register_profile("short", deadline=None, max_examples=40)
settings.load_profile("short")


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """Deals files, not tests, to the processes of `make test`, so that fixtures are made once.

    One process has all tests that start a Ray, for they share it, and kill processes; one those
    that only need an S3 server.
    """

    @override
    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        if not path.startswith("tests/integration/"):
            return path
        return "S3" if path.rpartition("/")[2].startswith(("test_s3", "test_lease_s3")) else "Ray"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


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
def tiny_judges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``clip/`` and ``dinov2/`` in transformers' layout; read only."""
    from tests.random_models import build_judges

    return build_judges(tmp_path_factory.mktemp("tiny") / "judges")


@pytest.fixture(scope="session")
def tiny_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the demo's mp4 clips ``fish``, ``car``, ``pair`` and ``ball``; read only."""
    from tinyworld.clips import write_clips

    folder = tmp_path_factory.mktemp("tiny") / "clips"
    write_clips(folder)
    return folder


@pytest.fixture(scope="session")
def study_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run of two variants, with four edits of two videos; one prompt is hostile; read only."""
    from tests.study_run import HOSTILE, study_run

    return study_run(
        tmp_path_factory.mktemp("study"), 2, 2, prompts=[HOSTILE], frames=3, scored=True
    )
