"""Keeping what lies outside of masks, in runs: its own edits, and no tuning anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

from benchmarks.chaos.plain import PlainRunner
from components.config import run_config
from components.steps.ingest import load_clip
from components.storage.garbage import survey
from components.storage.tables import read_table
from components.video.io import write_png_frames
from tests.random_controls import build_sam2
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


def frames_of(runner: PlainRunner, row: dict[str, Any]) -> NDArray[np.uint8]:
    folder = Path(runner.store.root, row["frames_uri"])
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())])


@pytest.mark.parametrize("kind", ["mask", "attention"])
def test_pixels_outside_are_the_sources_and_those_inside_are_not(
    document: dict[str, Any], kind: str
) -> None:
    document["output"] = {"frames": True}
    document["video"] |= {"width": 128, "height": 128}
    document["sample"] |= {"mask_threshold": 0.99, "prompts_per_batch": 2}
    document["variants"] = {"full": {}, "kept": {"sample": {"keep_outside": kind}}}
    manifest = yaml.safe_load(Path(document["manifest"]).read_text())["videos"][:1]
    manifest[0]["edits"].append({"id": "panda", "prompt": "a panda"})
    write_manifest(document, manifest)
    _, runner = run(document)
    view = runner.state().views["kept"]
    source = load_clip(view.videos["fish"], view.config.video.limits).frames
    rows = {row["edit_key"]: row for row in read_table(runner.store, "edits")}
    kept = [frames_of(runner, rows[row["edit_key"]]) for row in view.edits.values()]
    masks = [(frames != source).any(axis=-1) for frames in kept]
    assert len(masks) == 2
    if kind == "mask":
        inside = np.zeros_like(masks[0])
        inside[:, 32:96, 32:96] = True
        assert not any((mask & ~inside).any() for mask in masks)
        assert all((mask & inside).sum() > inside.sum() / 2 for mask in masks)
    else:
        cells = [mask.reshape(4, 16, 8, 16, 8).mean(axis=(2, 4)) for mask in masks]
        assert all(0 < (cell > 0).mean() < 1 for cell in cells), "some of it, in latent pixels"
        assert all(cell[cell > 0].mean() > 0.5 for cell in cells), "whole ones"
        assert not np.array_equal(cells[0] > 0, cells[1] > 0), "each edit has a mask of its own"


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


def test_attention_to_the_edits_words_needs_no_mask_but_words(document: dict[str, Any]) -> None:
    document["video"] |= {"width": 128, "height": 128}  # smaller ones are a neighbourhood whole
    run(document)
    kept = {"sample": {"keep_outside": "attention", "mask_threshold": 0.99}}
    document["variants"] = {"full": {}, "kept": kept}
    manifest = yaml.safe_load(Path(document["manifest"]).read_text())["videos"]
    manifest[1]["edits"] = [*manifest[1]["edits"], {"id": "less", "prompt": "fish"}]
    write_manifest(document, manifest)
    done, runner = run(document)
    # The new edit of both variants, and the former ones of one.
    assert {step: done.get(step, 0) for step in ("tune", "sample")} == {"tune": 0, "sample": 4}
    (failure,) = read_table(runner.store, "failures")
    assert failure["edit_id"] == "bare/less"
    assert "'fish' has 0 words that the source's prompt 'a fish' has not" in failure["message"]
    rows = read_table(runner.store, "edits")
    cartoons = [row for row in rows if row["edit_id"] == "bare/cartoon"]
    assert len({row["edit_key"] for row in cartoons}) == len({r["sha256"] for r in cartoons}) == 2
    kept["sample"]["mask_threshold"] = 0.5
    done, _ = run(document)
    assert {step: done.get(step, 0) for step in ("tune", "sample")} == {"tune": 0, "sample": 3}


def test_masks_by_sam2_are_made_once_and_named_by_edits(
    document: dict[str, Any], tmp_path: Path
) -> None:
    run(document)
    sam2 = {"mask": {"model": str(build_sam2(tmp_path / "sam2")), "point": [0.5, 0.5]}}
    kept = {"sample": {"keep_outside": "sam2"}, "control": sam2}
    more = kept | {"sample": {"keep_outside": "sam2", "guidance_scale": 3.0}}
    document["variants"] = {"full": {}, "kept": kept, "more": more}
    done, runner = run(document)
    steps = ("control", "tune", "sample")
    assert {step: done.get(step, 0) for step in steps} == {"control": 2, "tune": 0, "sample": 4}
    assert not read_table(runner.store, "failures")
    maps = {row["video_id"]: row for row in read_table(runner.store, "controls")}
    rows = [row for row in read_table(runner.store, "edits") if row["control_keys"]]
    assert {row["video_id"] for row in rows} == {"fish", "bare"}
    assert all(row["control_keys"] == [maps[row["video_id"]]["control_key"]] for row in rows)
    # Another point is another mask, and nothing is tuned for it.
    sam2["mask"]["point"] = [0.1, 0.1]
    done, runner = run(document)
    assert {step: done.get(step, 0) for step in steps} == {"control": 2, "tune": 0, "sample": 4}
    status = runner.state().status().steps
    assert (status["control"].total, status["control"].done) == (2, 2)
    assert not survey(runner.store).dangling
