"""A run over clips longer than a window: its own keys, every edit made, nothing made twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos.plain import PlainRunner
from components.config import run_config
from components.storage.tables import read_table
from tests.runs import counts, tiny_document, write_manifest


@pytest.fixture
def document(tmp_path: Path, tiny_models: Path, tiny_clips: Path) -> dict[str, Any]:
    document = tiny_document(tmp_path, tiny_models)
    document["video"]["num_frames"] = 8
    model = {"window": 4, "overlap": 2}
    document["variants"] = {"whole": {}, "windows": {"model": model}, "again": {"model": model}}
    edits = [{"id": "cartoon", "category": "style", "prompt": "{caption}, cartoon style"}]
    videos = [{"id": "fish", "uri": str(tiny_clips / "fish.mp4"), "prompt": "a fish"}]
    write_manifest(document, [videos[0] | {"edits": edits}])
    return document


def test_windows_are_in_the_keys_and_make_whole_edits(document: dict[str, Any]) -> None:
    runner = PlainRunner(run_config(document, "test"))
    result = runner.run()
    assert counts(result)["tune"] == 2
    assert counts(result)["sample"] == 2
    edits = read_table(runner.store, "edits")
    assert [row["num_frames"] for row in edits] == [8, 8]
    assert len({row["adapter_key"] for row in edits}) == 2
    assert len({row["sha256"] for row in edits}) == 2
    assert counts(PlainRunner(run_config(document, "test")).run()) == {}
