"""Controls on a real local Ray: what one that is added computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.config import run_config
from components.run.runner import Runner
from tests.random_controls import build_controlnet
from tests.runs import counts, tiny_videos, write_manifest


def test_a_control_added_to_a_finished_run_makes_maps_and_edits(
    tiny_run: dict[str, Any], tiny_models: Path, tiny_clips: Path, tmp_path: Path
) -> None:
    def run() -> dict[str, int]:
        result = Runner(run_config(tiny_run, "test")).run()
        assert result.failed_fraction == 0
        return counts(result)

    videos = tiny_videos(tiny_clips)
    write_manifest(tiny_run, [video | {"prompt": "a red fish"} for video in videos])
    assert run() == {"ingest": 2, "tune": 2, "sample": 3, "score": 3}
    net = build_controlnet(tmp_path / "net", tiny_models / "base", seed=1)
    tiny_run["control"] = {
        "nets": [
            {"kind": "controlnet", "model": str(net), "map": kind, "weight": 0.5}
            for kind in ("canny", "softedge")
        ]
    }
    assert run() == {"control": 4, "sample": 3, "score": 3}
    assert run() == {}
    tiny_run["control"]["tune"] = True
    assert run() == {"tune": 2, "sample": 3, "score": 3}
