"""Keys of rows that runs hold already: a change of the code must not change them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.config import RunConfig, VideoConfig, parse
from components.records.keys import content_key
from components.steps.ingest import video_key
from tests.unit.components.run.test_plan import SHA256, Run


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({}, "d8026dd67bc4ebf932609d74e2190900"),
        ({"num_frames": 8, "width": 64, "height": 64}, "1a2ffd7b269882f5fea13f1dd131ef5a"),
        (
            {"selection": "stride", "start": 2, "stride": 3, "fit": "pad"},
            "368032b4b2035d673f4760fe2ea79f13",
        ),
    ],
)
def test_clips_keep_their_keys(settings: dict[str, Any], key: str) -> None:
    assert video_key(SHA256, VideoConfig(**settings)) == key


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        (
            {},
            (
                "3cb6a0b61980c8060064fffdbacdea5f",
                "46323993ba173fff8b83b05f9d31452f",
                "5d01f81090273a875ebb5b79ba312b0f",
                "588a2edf38ea3192d078fadaa8ad0ce8",
            ),
        ),
        (
            {"output": {"frames": True, "crf": 20}, "seed": 7},
            (
                "4a2ab08e423f8cbb9a63ac969202ab35",
                "ce0bf37059037e244b087f62c71672a1",
                "cdfa8dc37814741121f542c177519e83",
                "87400bc2614b1886b14b093c9ac3e702",
            ),
        ),
    ],
)
def test_results_keep_their_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], keys: tuple[str, ...]
) -> None:
    monkeypatch.setattr("components.run.stages.NUMERICS_VERSION", 2)  # raising it is no mistake
    run = Run(tmp_path, **changes)
    run.ingest()
    run.caption()
    state = run.view
    adapter, edit = state.adapter_keys["v"], state.planned_edits["v/e"].edit_key
    score = state.score_key(edit, "tav_paper_v1")
    document = {"run": "r", "manifest": "m", "model": {"base": "x"}} | changes
    config = content_key(config=parse(RunConfig, document, "test"))
    assert (adapter, edit, score, config) == keys
    assert state.score_key(edit, "tav_paper_v1", "5" * 64) == score, "masks are not of all keys"
