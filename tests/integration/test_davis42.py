"""The paper's benchmark, of random pictures in DAVIS's layout, through every step."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from components.run.runner import Runner
from components.storage.tables import read_table
from tests.runs import counts, run_config

MANIFEST = Path(__file__).parents[2] / "manifests/datasets/davis42.yaml"


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_all_clips_and_edits_of_davis42_run_on_tiny_models(
    tiny_run: dict[str, Any], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    videos = yaml.safe_load(MANIFEST.read_text("utf-8"))["videos"]
    for video in videos:
        folder = tmp_path / "480p" / video["uri"]
        folder.mkdir(parents=True)
        for number in range(6):
            picture = rng.integers(0, 256, (60, 107, 3), dtype=np.uint8)
            Image.fromarray(picture).save(folder / f"{number:05}.jpg")
    protocols = ["tav_paper_v1", "fatezero_v1", "warp_error_dis_v1"]
    document = tiny_run | {
        "manifest": str(MANIFEST),
        "manifest_root": str(tmp_path / "480p"),
        "tune": {"steps": 1},
        "invert": {"steps": 1},
        "sample": {"steps": 1},
        "score": tiny_run["score"] | {"protocols": protocols},
    }
    runner = Runner(run_config(document))
    done = counts(runner.run())
    assert done == {"ingest": 42, "tune": 42, "sample": 140, "score": 420}
    state = runner.state()
    edits = read_table(state.store, "edits")
    assert Counter(row["category"] for row in edits) == {
        "object": 47,
        "background": 47,
        "style": 46,
    }
    assert not read_table(state.store, "failures")
    rows = read_table(state.store, "scores")
    assert {len(row["values"]) for row in rows if row["protocol"] != "warp_error_dis_v1"} == {2}
    # What is noise from frame to frame leads nowhere, and the row says so.
    noise = [row for row in rows if row["protocol"] == "warp_error_dis_v1"]
    assert all(row["values"] or "can be followed" in row["reasons"]["warp_error"] for row in noise)
