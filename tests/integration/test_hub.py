"""A whole run whose models are the hub's, fetched by the hub's own client from a server here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.run.record import load_run
from components.storage.tables import read_table
from tests.hub_server import COMMIT, Hub, serve
from tests.runs import tiny_document, tiny_videos, write_manifest

PLAIN = ("-m", "benchmarks.chaos.plain")
"""The program that computes a run in its own process; its one argument is the configuration."""


@pytest.fixture
def document(tmp_path: Path, tiny_models: Path, tiny_clips: Path) -> dict[str, Any]:
    found = tiny_document(tmp_path, tiny_models) | {
        "model": {"base": "tests/base"},
        "score": {"model": "hf-hub:tests/clip"},
    }
    found["caption"] |= {"model": "tests/blip2"}
    write_manifest(found, tiny_videos(tiny_clips))
    return found


def compute(
    document: dict[str, Any], hub: Hub, cache: Path, *command: str
) -> subprocess.CompletedProcess[str]:
    config = Path(document["manifest"]).with_name("run.yaml")
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    online = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.url, "HF_HOME": str(cache)}
    return subprocess.run(
        [sys.executable, *command, str(config)],
        env=os.environ | online,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )


def test_every_model_comes_from_the_hub_once(
    document: dict[str, Any], tiny_models: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    with serve({f"tests/{name}": tiny_models / name for name in ("base", "blip2", "clip")}) as hub:
        done = compute(document, hub, cache, *PLAIN)
        assert done.returncode == 0, done.stderr
        state = load_run(document["run"])
        assert len(state.first.scores) == 3
        assert state.open_failures == []
        assert {row["base_revision"] for row in read_table(state.store, "edits")} == {COMMIT}
        assert {row["score_revision"] for row in read_table(state.store, "scores")} == {COMMIT}
        fetched = [ask for ask in hub.asked if ask.startswith("GET") and "/resolve/" in ask]
        weights = [ask for ask in fetched if ask.endswith(".safetensors")]
        assert len(weights) == len(set(weights))
        assert {ask.split("/")[2] for ask in weights} == {"base", "blip2", "clip"}
        assert "HTTP Request" not in done.stderr + done.stdout

        hub.asked.clear()
        again = compute(document, hub, cache, *PLAIN)
        assert again.returncode == 0, again.stderr
        assert not [ask for ask in hub.asked if ask.endswith(".safetensors")]


def test_what_the_hub_does_not_have_is_one_message(
    document: dict[str, Any], tiny_models: Path, tmp_path: Path
) -> None:
    with serve({f"tests/{name}": tiny_models / name for name in ("blip2", "clip")}) as hub:
        done = compute(document, hub, tmp_path / "cache", "-m", "components.cli", "run", "--config")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "'tests/base' is no folder here, and the hub gives no commit" in done.stderr


@pytest.mark.soak
def test_what_people_see_of_a_run_on_rays_workers(
    document: dict[str, Any], tiny_models: Path, tmp_path: Path
) -> None:
    with serve({f"tests/{name}": tiny_models / name for name in ("base", "blip2", "clip")}) as hub:
        done = compute(document, hub, tmp_path / "cache", "-m", "components.cli", "run", "--config")
    seen = done.stdout + done.stderr
    assert done.returncode == 0, seen
    assert "step=sample" in seen  # a worker's line
    assert "HTTP Request" not in seen
    assert "core_worker" not in seen
    assert not re.search(r"\x1b\[", seen)
