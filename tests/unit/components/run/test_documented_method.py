"""The method of docs/methods.md, installed and run as it stands there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from components.config import VideoConfig
from components.storage.local import LocalStore
from components.storage.tables import read_table
from components.video.isolated import decoder
from tests.method_packages import documented, install
from tests.runs import tiny_document, tiny_videos, write_manifest


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's package is installed."""
    files = documented()
    assert len(files["tav_fade.py"].splitlines()) < 40
    return install(tmp_path_factory.mktemp("fade"), files)


def test_the_documented_method_runs_beside_tune_a_video(
    site: Path, tmp_path: Path, tiny_models: Path, tiny_clips: Path
) -> None:
    document = tiny_document(tmp_path, tiny_models)
    document["variants"] = {
        "full": {},
        "fade": {"method": "fade"},
        "grey": {"method": "fade", "fade": {"strength": 1}},
    }
    videos = tiny_videos(tiny_clips)
    write_manifest(document, videos[:1])
    run(document, tmp_path, site)
    store = LocalStore(Path(document["run"]))
    edits = read_table(store, "edits")
    assert sorted(row["method"] for row in edits) == ["fade"] * 4 + ["tune_a_video"] * 2
    # One colour serves both strengths.
    (colour,) = read_table(store, "artefacts")
    assert (colour["method"], colour["kind"]) == ("fade", "colour")
    keys = {row["artefact_key"] for row in edits if row["method"] == "fade"}
    assert keys == {colour["artefact_key"]}
    assert len(read_table(store, "scores")) == 6
    assert read_table(store, "failures") == []
    # At full strength a frame has one colour, the clip's own mean.
    clip = frames(store, read_table(store, "videos")[0]["clip_uri"])
    spreads = [frames(store, row["video_uri"]).std(axis=(0, 1, 2)).max() for row in edits]
    assert sum(spread < 1 for spread in spreads) == 2
    flat = frames(store, edits[int(np.argmin(spreads))]["video_uri"])
    assert abs(flat.mean(axis=(0, 1, 2)) - clip.mean(axis=(0, 1, 2))).max() < 4
    run(document, tmp_path, site)
    assert read_table(store, "edits") == edits

    told = run(document | {"fade": {"strength": 3}}, tmp_path, site, code=1)
    assert "strength is 3.0, but must be 0 to 1: try 0.5" in told
    told = run(document, tmp_path, None, code=1)
    assert "unknown method 'fade'" in told


def run(document: dict[str, Any], folder: Path, site: Path | None, code: int = 0) -> str:
    """Run in a process of its own, as a user's; return what it says on standard error."""
    config = folder / "run.yaml"
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos.plain", str(config)],
        env=os.environ | ({"PYTHONPATH": str(site)} if site else {}),
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr[-3000:]
    return done.stderr


def frames(store: LocalStore, path: str) -> np.ndarray[Any, Any]:
    video = VideoConfig(num_frames=4, width=64, height=64)
    return decoder().clip(Path(store.root, path), video).frames.astype(float)
