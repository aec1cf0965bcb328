"""The two real clips that may lie beside the checkout go through the whole path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.run.runner import Runner
from components.storage.tables import read_table
from tests.runs import run_config, write_manifest

CLIPS = Path(__file__).parents[3] / "shared" / "videos"

pytestmark = pytest.mark.skipif(
    not CLIPS.is_dir(), reason="the real clips (../shared/videos) are not beside this checkout"
)


def test_real_clips_produce_every_row(tiny_run: dict[str, Any]) -> None:
    prompts = {
        "man-skiing": ("a man is skiing", {"man": "panda"}),
        "car-turn": ("a jeep car is moving on the road", {"jeep car": "sports car"}),
    }
    write_manifest(
        tiny_run,
        [
            {
                "id": name,
                "uri": str(CLIPS / f"{name}.mp4"),
                "prompt": prompt,
                "edits": [
                    {"id": "object", "category": "object", "replace": replace},
                    {"id": "style", "category": "style", "prompt": "{caption}, cartoon style"},
                ],
            }
            for name, (prompt, replace) in prompts.items()
        ],
    )
    tiny_run["video"] = {"num_frames": 8, "width": 128, "height": 128}
    runner = Runner(run_config(tiny_run))
    result = runner.run()
    assert result.failed_fraction == 0
    rows = {
        table: len(read_table(runner.store, table))
        for table in ("videos", "captions", "adapters", "latents", "edits", "scores", "failures")
    }
    assert rows == {
        "videos": 2,
        "captions": 2,
        "adapters": 2,
        "latents": 2,
        "edits": 4,
        "scores": 4,
        "failures": 0,
    }
    sizes = {
        row["video_id"]: (row["source_width"], row["source_height"], row["source_frames"])
        for row in read_table(runner.store, "videos")
    }
    assert sizes == {"man-skiing": (718, 718, 91), "car-turn": (480, 480, 80)}
