"""Models of a method's own: named exactly once, in every key, looked at before any work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from benchmarks.chaos.plain import PlainRunner
from components.config import narrowed, run_config
from components.errors import UserError
from components.records.revisions import resolve_revision
from components.run.estimate import plan_run
from components.run.record import RUN_FILE, load_run
from components.run.runner import RunResult
from components.run.view import View
from components.steps.methods import make_method
from components.storage.tables import read_table
from components.video.io import probe
from tests.random_pipelines import BUILDERS, MAX_TOKENS, build_video_models
from tests.runs import counts, tiny_document, write_manifest

EDITS = [
    {"id": "cartoon", "category": "style", "prompt": "{caption}, cartoon style"},
    {"id": "long", "category": "style", "prompt": "car " * MAX_TOKENS},
]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build_video_models(tmp_path_factory.mktemp("video"))


def variant(method: str, folder: Path | str, **own: Any) -> dict[str, Any]:
    setting, _ = BUILDERS[method]
    usual: dict[str, Any] = {"steps": 2, "guidance_scale": 1}
    usual |= {"dtype": "fp32"} if setting == "base" else {"strength": 0.5}
    return {"method": method, method: usual | {setting: str(folder)} | own}


@pytest.fixture
def document(
    tmp_path: Path, tiny_models: Path, tiny_clips: Path, models: dict[str, Path]
) -> dict[str, Any]:
    videos = [
        {"id": "fish", "uri": str(tiny_clips / "fish.mp4"), "prompt": "a red fish", "edits": EDITS}
    ]
    document = tiny_document(tmp_path, tiny_models)
    write_manifest(document, videos)
    document["video"] = {"num_frames": 9, "width": 64, "height": 64}
    return document | {"variants": {name: variant(name, models[name]) for name in BUILDERS}}


def run(document: dict[str, Any]) -> tuple[RunResult, PlainRunner]:
    runner = PlainRunner(run_config(document, "test"))
    return runner.run(), runner


def test_each_pipeline_edits_in_a_run_resumes_and_fails_by_rows(
    document: dict[str, Any], tiny_models: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    result, runner = run(document)
    # What is too long for CogVideoX is not for the others.
    failed = read_table(runner.store, "failures")
    assert {row["edit_id"] for row in failed} == {"fish/long"}
    assert all("25 tokens" in row["message"] for row in failed)
    assert counts(result) == {"ingest": 1, "sample": 12, "score": 10}
    state = runner.state()
    assert [len(view.edits) for view in state.views.values()] == [1, 1, 2, 2, 2, 2]
    rows = {
        row["method"]: row
        for row in read_table(runner.store, "edits")
        if row["edit_id"] == "fish/cartoon"
    }
    for name in state.views:
        row = rows[name]
        used = tiny_models / "base" if name == "animatediff_v2v" else models[name]
        assert (row["method"], row["base_model"]) == (name, str(used))
        assert row["base_revision"] == resolve_revision(str(used))
    again, _ = run(document)
    assert counts(again) == {}

    # A mask: the one that uses it makes its two edits anew, and no other one does anything.
    before = {name: planned_keys(view) for name, view in state.views.items()}
    (entry,) = yaml.safe_load(Path(document["manifest"]).read_text("utf-8"))["videos"]
    write_manifest(document, [entry | {"mask": str(write_mask(tmp_path / "mask", entry["uri"]))}])
    masked, runner = run(document)
    assert counts(masked) == {"ingest": 1, "sample": 2, "score": 2}
    after = {name: planned_keys(view) for name, view in runner.state().views.items()}
    assert {name for name in after if after[name] != before[name]} == {"wan_vace"}
    assert before["wan_vace"].isdisjoint(after["wan_vace"])


def planned_keys(view: View) -> set[str]:
    return {edit.edit_key for edit in view.planned_edits.values()}


def write_mask(folder: Path, uri: str) -> Path:
    """The left half of each frame of a video."""
    found = probe(Path(uri))
    folder.mkdir()
    image = Image.new("1", (found.width, found.height))
    image.paste(1, (0, 0, found.width // 2, found.height))
    for index in range(found.num_frames):
        image.save(folder / f"{index:05d}.png")
    return folder


@pytest.fixture
def one(
    document: dict[str, Any], models: dict[str, Path], tmp_path: Path
) -> tuple[dict[str, Any], Path]:
    """A run of one such method, and a model of its own."""
    folder = Path(shutil.copytree(models["cogvideo"], tmp_path / "model"))
    edits = variant("cogvideo", folder)
    document.pop("variants")
    return document | edits, folder


def keys(document: dict[str, Any]) -> set[str]:
    return {row["edit_key"] for row in read_table(run(document)[1].store, "edits")}


def test_another_place_is_the_same_model_and_another_file_another(
    one: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    document, folder = one
    first = keys(document)
    assert len(first) == 1
    moved = Path(shutil.move(folder, tmp_path / "elsewhere"))
    document["cogvideo"]["base"] = str(moved)
    assert keys(document) == first
    (moved / "scheduler" / "note.txt").write_text("another model")
    assert len(keys(document)) == 2


def test_the_record_knows_what_a_model_was(one: tuple[dict[str, Any], Path]) -> None:
    document, folder = one
    run(document)
    revision = resolve_revision(str(folder))
    shutil.rmtree(folder)
    state = load_run(document["run"])  # on any machine
    assert state.first.revisions.models == {"base": revision}
    assert len(state.first.edits) == 1


def test_a_narrowed_run_needs_its_own_models_alone(
    document: dict[str, Any], models: dict[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(models["wan_v2v"], tmp_path / "wan"))
    document["variants"] = {"wan": variant("wan_v2v", folder), "same": {"method": "identity"}}
    whole = PlainRunner(run_config(document, "test"))
    whole.run(("ingest",))
    before = json.loads(whole.store.read_bytes(RUN_FILE))
    assert "models" not in before["variants"]["same"]
    shutil.rmtree(folder)
    with pytest.raises(UserError, match=r"wan' is no folder here"):
        PlainRunner(run_config(document, "test"))
    PlainRunner(narrowed(run_config(document, "test"), ["same"])).run()
    assert json.loads(whole.store.read_bytes(RUN_FILE))["variants"] == before["variants"]


def test_a_hub_model_is_loaded_at_the_commit_that_its_keys_hold() -> None:
    edits = variant("wan_v2v", "owner/name", revision="main")
    base = {"run": "r", "manifest": "m", "model": {"base": "-"}}
    method = make_method(run_config(base | edits, "test"), "", {"base": COMMIT})
    assert method.settings.own.revision == COMMIT
    assert method.settings.revisions == {"base": COMMIT}


def test_sizes_that_it_cannot_take_are_told_before_anything_is_done(
    one: tuple[dict[str, Any], Path],
) -> None:
    document, _ = one
    document["video"] = {"num_frames": 8, "width": 72, "height": 64}
    with pytest.raises(UserError, match=r"8 frames of 72x64 .* fits is 9 frames of 64x64"):
        run(document)


def test_what_is_wrong_with_a_model_stops_the_run_with_one_message(
    one: tuple[dict[str, Any], Path],
) -> None:
    document, folder = one
    weights = folder / "transformer/diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(UserError, match=r"cogvideo\.base .* are pickles"):
        run(document)
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace("CogVideoXPipeline", "DiffusionPipeline"))
    with pytest.raises(UserError, match="is a model for 'DiffusionPipeline'"):
        run(document)
    index.unlink()
    with pytest.raises(UserError, match=r"cannot read model_index\.json"):
        run(document)
    assert read_table(PlainRunner(run_config(document, "test")).store, "videos") == []


def test_a_plan_counts_weights_and_refuses_what_cannot_hold_them(
    one: tuple[dict[str, Any], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    document, folder = one
    runner = PlainRunner(run_config(document, "test"))
    plan = plan_run(runner.state())
    (note,) = [note for note in plan.notes if "nobody has counted" in note]
    assert "its weights alone take 0.0 GB" in note
    assert plan.variants["cogvideo"].sample_seconds is None
    assert plan.problems == []
    monkeypatch.setattr("components.run.estimate.task_memory", lambda *_: 1e3)
    (problem,) = plan_run(runner.state()).problems
    assert "the weights of cogvideo alone take" in problem
    for path in folder.glob("*/*.safetensors"):
        path.unlink()
    notes = plan_run(runner.state()).notes
    assert f"{folder} holds no weights: a run needs them" in notes


def test_relative_folders_are_found_from_anywhere(
    one: tuple[dict[str, Any], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    document, folder = one
    monkeypatch.chdir(folder.parent)
    document["cogvideo"]["base"] = folder.name
    judges = {"raft": {"model": folder.name}, "dinov2": {"model": "org/name"}}
    document["score"] = document["score"] | {"judges": judges}
    config = run_config(document, "test")
    assert config.own["cogvideo"].base == str(folder)
    found = {name: one.model for name, one in config.score.judges.items()}
    assert found == {"raft": str(folder), "dinov2": "org/name"}
