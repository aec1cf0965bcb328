"""A run of several variants: each has every edit, and what they share is made once.

Without Ray; `benchmarks.chaos --variants` and Kubeflow's runner compute variants on it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos.plain import PlainRunner
from components.config import run_config
from components.run.runner import RunResult
from components.run.undone import open_failures
from components.storage.store import file_sha256
from components.storage.tables import read_table
from tests.runs import counts, tiny_document, write_manifest
from tests.sample_videos import write_video

VARIANTS: dict[str, Any] = {
    "full": {},
    "no_tuning": {"tune": {"steps": 0}},
    "noise": {"sample": {"start": "noise"}},
    "pnp": {
        "method": "plug_and_play",
        "plug_and_play": {"steps": 2, "inversion_steps": 2},
    },
    "sdedit": {"method": "sdedit", "sdedit": {"steps": 4, "strength": 0.5}},
    "frames": {
        "method": "frame_by_frame",
        "frame_by_frame": {"steps": 2, "inversion_steps": 2},
    },
    "fate": {"method": "fatezero", "fatezero": {"steps": 2}},
    "friendly": {"method": "edit_friendly", "edit_friendly": {"steps": 3}},
    "friendly_frames": {
        "method": "edit_friendly",
        "edit_friendly": {"steps": 3, "model": "image"},
    },
    "identity": {"method": "identity"},
}
EDITS = [
    {"id": "cartoon", "category": "style", "prompt": "{caption}, cartoon style"},
    {"id": "snow", "category": "background", "prompt": "{caption}, in the snow"},
]


@pytest.fixture
def document(tmp_path: Path, tiny_models: Path, tiny_clips: Path) -> dict[str, Any]:
    videos = [
        {"id": name, "uri": str(tiny_clips / f"{name}.mp4"), "prompt": f"a {name}", "edits": EDITS}
        for name in ("fish", "pair")
    ]
    for video in videos:
        folder = tmp_path / "edits" / str(video["id"])
        folder.mkdir(parents=True)
        for edit in EDITS:
            write_video(folder / f"{edit['id']}.mp4", 4, size=(64, 64))
    theirs = {"videos": str(tmp_path / "edits" / "{video}" / "{edit}.mp4")}
    document = tiny_document(tmp_path, tiny_models)
    write_manifest(document, videos)
    return document | {
        "variants": VARIANTS | {"theirs": {"method": "precomputed", "precomputed": theirs}}
    }


def run(document: dict[str, Any]) -> tuple[RunResult, PlainRunner]:
    runner = PlainRunner(run_config(document, "test"))
    return runner.run(), runner


def test_every_variant_has_every_edit_and_what_is_shared_is_made_once(
    document: dict[str, Any],
) -> None:
    result, runner = run(document)
    state = runner.state()
    assert result.failed_fraction == 0, read_table(runner.store, "failures")
    # Prepared: full's adapters and latents (noise, fate and friendly share the adapters),
    # no_tuning's latents, and what the others keep.
    assert counts(result) == {"ingest": 2, "tune": 14, "sample": 44, "score": 44}
    rows = {table: len(read_table(runner.store, table)) for table in ("adapters", "latents")}
    assert rows == {"adapters": 2, "latents": 4}
    artefacts = read_table(runner.store, "artefacts")
    assert len(artefacts) == 10
    assert all(json.loads(row["facts"])["peak_bytes"] > 1e7 for row in artefacts)
    adapters = {row["adapter_key"] for row in read_table(runner.store, "adapters")}
    edits = read_table(runner.store, "edits")
    assert all(row["peak_bytes"] > 1e7 for row in edits)
    made = {row["edit_key"]: row["adapter_key"] for row in edits}
    for name in ("full", "fate", "friendly"):
        assert {
            made[edit.edit_key] for edit in state.views[name].planned_edits.values()
        } == adapters
    for name, view in state.views.items():
        assert len(view.edits) == 4, name
        assert len(view.scores) == 4, name
        assert {row["method"] for row in view.edits.values()} == {view.config.method}
        for row in view.edits.values():
            path = Path(document["run"]) / row["video_uri"]
            assert file_sha256(path) == row["sha256"]
    keys = [row["edit_key"] for view in state.views.values() for row in view.edits.values()]
    assert len(set(keys)) == 44
    status = state.status()
    assert status.steps["sample"].total == status.steps["sample"].done == 44

    again, _ = run(document)
    assert counts(again) == {}

    document["variants"]["causal"] = {"model": {"attention_mode": "causal"}}
    document["variants"]["longer"] = {"invert": {"steps": 3}}
    more, runner = run(document)
    # Another attention has adapters of its own; another inversion keeps full's.
    assert counts(more) == {"tune": 4, "sample": 8, "score": 8}
    assert len(read_table(runner.store, "adapters")) == 4
    assert len(read_table(runner.store, "latents")) == 8


def test_a_variant_that_fails_leaves_the_others_alone(document: dict[str, Any]) -> None:
    document["variants"] = {
        "full": {},
        "diverging": {"tune": {"learning_rate": 1e30}},
        "identity": {"method": "identity"},
    }
    result, runner = run(document)
    state = runner.state()
    assert {row["step"] for row in state.open_failures} == {"tune"}
    assert result.failed_fraction == pytest.approx(1 / 3)
    assert [len(view.edits) for view in state.views.values()] == [4, 0, 4]
    assert [open_failures(view) != [] for view in state.views.values()] == [False, True, False]
