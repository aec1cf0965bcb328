"""Keeping what lies outside of masks, in runs: its own edits, and no tuning anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.chaos.plain import PlainRunner
from components.config import run_config
from components.storage.tables import read_table
from components.video.io import write_png_frames
from tests.runs import counts, tiny_document, write_manifest


@pytest.fixture
def document(tmp_path: Path, tiny_models: Path, tiny_clips: Path) -> dict[str, Any]:
    """One video with a mask, and one without."""
    masks = np.zeros((24, 128, 128, 3), dtype=np.uint8)
    masks[:, 32:96, 32:96] = 255
    write_png_frames(tmp_path / "mask", masks)
    document = tiny_document(tmp_path, tiny_models)
    edits = [{"id": "cartoon", "category": "style", "prompt": "{caption}, cartoon style"}]
    fish = {"id": "fish", "uri": str(tiny_clips / "fish.mp4"), "prompt": "a fish", "edits": edits}
    other = fish | {"id": "bare"}
    write_manifest(document, [fish | {"mask": str(tmp_path / "mask")}, other])
    return document


def run(document: dict[str, Any]) -> tuple[dict[str, int], PlainRunner]:
    runner = PlainRunner(run_config(document, "test"))
    return counts(runner.run()), runner


def test_edits_are_made_anew_and_nothing_is_tuned(document: dict[str, Any]) -> None:
    run(document)
    document["variants"] = {"full": {}, "kept": {"sample": {"keep_outside": "mask"}}}
    done, runner = run(document)
    # Both videos' edits are tried, and one of them cannot be made.
    assert {step: done.get(step, 0) for step in ("tune", "sample")} == {"tune": 0, "sample": 2}
    (failure,) = read_table(runner.store, "failures")
    assert failure["edit_id"] == "bare/cartoon"
    assert "the video has no mask: give the manifest's `mask`" in failure["message"]
    views = runner.state().views
    assert views["full"].adapter_keys == views["kept"].adapter_keys
    rows = [row for row in read_table(runner.store, "edits") if row["video_id"] == "fish"]
    assert len({row["edit_key"] for row in rows}) == len({row["sha256"] for row in rows}) == 2


def test_another_mask_makes_the_kept_edits_anew_and_no_others(
    document: dict[str, Any], tmp_path: Path
) -> None:
    document["variants"] = {"full": {}, "kept": {"sample": {"keep_outside": "mask"}}}
    run(document)
    masks = np.zeros((24, 128, 128, 3), dtype=np.uint8)
    masks[:, 64:, 64:] = 255
    write_png_frames(tmp_path / "mask", masks)
    done, _ = run(document)
    assert {step: done.get(step, 0) for step in ("tune", "sample")} == {"tune": 0, "sample": 1}
