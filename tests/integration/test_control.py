"""Controls on a real local Ray, and the example of docs/control.md as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.config import run_config
from components.results.report import INDEX
from components.run.perform import perform
from components.run.runner import Runner
from components.storage.tables import read_table
from tests.checkout import REPOSITORY
from tests.random_controls import build_controlnet
from tests.runs import counts, tiny_videos, write_manifest

PAGE = REPOSITORY / "docs/control.md"


def test_a_control_added_to_a_finished_run_makes_maps_and_edits(
    tiny_run: dict[str, Any], tiny_models: Path, tiny_clips: Path, tmp_path: Path
) -> None:
    def run() -> dict[str, int]:
        result = Runner(run_config(tiny_run, "test")).run()
        assert result.failed_fraction == 0
        return counts(result)

    tiny_run["ray"] = tiny_run.get("ray", {}) | {"workers": 2}
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


def blocks(language: str) -> list[str]:
    fenced = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return fenced.findall(PAGE.read_text("utf-8"))


def test_the_documented_example_runs(
    tmp_path: Path, tiny_clips: Path, ray_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(blocks("python")[0], {})
    document = yaml.safe_load(blocks("yaml")[0])
    document["manifest"] = str(tmp_path / "manifest.yaml")
    write_manifest(document, [tiny_videos(tiny_clips)[0]])
    document["ray"] = {"address": ray_address}
    document |= {"tune": {"steps": 2}, "invert": {"steps": 2}, "sample": {"steps": 2}}
    done = perform("run", run_config(document, "test"))
    assert done.status.failed_fraction == 0
    assert {name: count for name, count in done.computed.items() if count} == {
        "ingest": 1,
        "control": 2,
        "tune": 1,
        "sample": 6,
        "score": 6,
    }
    edits = {
        name: {row["edit_id"]: row["edit_key"] for row in view.edits.values()}
        for name, view in done.state.views.items()
    }
    digests = {row["edit_key"]: row["sha256"] for row in read_table(done.state.store, "edits")}
    for edit, key in edits["plain"].items():
        assert digests[key] == digests[edits["canny"][edit]], "an untrained ControlNet is none"
        assert digests[key] != digests[edits["soft"][edit]]
    page = (Path(document["run"]) / INDEX).read_text("utf-8")
    assert page.count('aria-label="Control map: ') == 4  # two maps for each of two edits
