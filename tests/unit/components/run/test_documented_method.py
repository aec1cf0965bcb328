"""The method of docs/methods.md, installed and run as it stands there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.chaos.plain import PlainRunner
from components.config import VideoConfig, run_config
from components.errors import UserError
from components.storage.local import LocalStore
from components.storage.tables import read_table
from components.video.isolated import decoder
from tests.method_packages import documented, importable, install
from tests.runs import counts, tiny_document, tiny_videos, write_manifest


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
    done = {"ingest": 1, "tune": 2, "sample": 6, "score": 6}
    assert run(document, site) == done
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
    assert run(document, site) == {}

    with pytest.raises(UserError, match=r"strength is 3\.0, but must be 0 to 1: try 0\.5"):
        run(document | {"fade": {"strength": 3}}, site)
    with pytest.raises(UserError, match="unknown method 'fade'"):
        run(document, None)


def run(document: dict[str, Any], site: Path | None) -> dict[str, int]:
    with importable(*([site] if site else [])):
        return counts(PlainRunner(run_config(document, "test")).run())


def frames(store: LocalStore, path: str) -> np.ndarray[Any, Any]:
    video = VideoConfig(num_frames=4, width=64, height=64)
    return decoder().clip(Path(store.root, path), video).frames.astype(float)
