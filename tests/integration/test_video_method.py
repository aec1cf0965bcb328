"""A pipeline of diffusers as a method, by the command, on Ray."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from components.cli.main import main
from components.run.record import load_run
from components.storage.tables import read_table
from tests.random_pipelines import build_wan
from tests.runs import tiny_document, tiny_videos, write_manifest

pytestmark = pytest.mark.soak


def test_the_command_edits_resumes_and_plans(
    tmp_path: Path, tiny_models: Path, tiny_clips: Path
) -> None:
    model = build_wan(tmp_path / "wan")
    own = {"base": str(model), "dtype": "fp32", "steps": 2, "strength": 0.5}
    document = tiny_document(tmp_path, tiny_models) | {"method": "wan_v2v", "wan_v2v": own}
    document["video"] = {"num_frames": 5, "width": 64, "height": 64}
    write_manifest(document, tiny_videos(tiny_clips)[:1])
    path = tmp_path / "run.json"
    path.write_text(json.dumps(document))
    planned = CliRunner().invoke(main, ["plan", "--config", str(path)])
    assert planned.exit_code == 0, planned.output
    assert "nobody has counted" in planned.output
    for _ in range(2):
        done = CliRunner().invoke(main, ["run", "--config", str(path)])
        assert done.exit_code == 0, done.output
    state = load_run(document["run"])
    assert len(state.first.scores) == 2
    assert len(read_table(state.store, "edits")) == 2
