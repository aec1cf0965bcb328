"""Controls from configuration and manifest to edit: what is computed, and what a bad one costs.

Without Ray.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.chaos.plain import PlainRunner
from components.config import run_config
from components.controls.keeping import read_maps_file
from components.errors import UserError
from components.plan.devices import find_device
from components.results.report import collect
from components.run.costs import VariantCosts, VariantWork
from components.run.current import State
from components.run.estimate import RunPlan, plan_run
from components.run.record import load_run
from components.run.runner import RunResult
from components.storage.garbage import remove, survey, withdraw
from components.storage.tables import read_table
from components.video.io import probe
from tests.random_controls import build_adapter, build_controlnet, build_sam2
from tests.runs import counts, tiny_document, write_manifest
from tests.whole_run import NOW, paths

EDITS = [{"id": "snow", "category": "background", "prompt": "{caption}, in the snow"}]
STEPS = ("ingest", "caption", "control", "tune", "sample")


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path) -> dict[str, Path]:
    folder, base = tmp_path_factory.mktemp("nets"), tiny_models / "base"
    return {
        "controlnet": build_controlnet(folder / "controlnet", base, seed=1),
        "t2i_adapter": build_adapter(folder / "adapter", base, seed=2),
    }


class Run:
    """Two clips with an edit each."""

    def __init__(self, folder: Path, models: Path, clips: Path, nets: dict[str, Path]) -> None:
        self.folder, self.clips, self.nets = folder, clips, nets
        self.document = tiny_document(folder, models)
        self.own: dict[str, dict[str, Any]] = {}
        """What the manifest says of videos, by id."""

    def net(self, map_: str = "canny", kind: str = "controlnet", **changes: Any) -> dict[str, Any]:
        return {"kind": kind, "model": str(self.nets[kind]), "map": map_} | changes

    def steer(self, *nets: dict[str, Any], **more: Any) -> None:
        self.document["control"] = {"nets": list(nets)} | more

    def pictures(self, name: str, level: int, *, less: int = 0) -> Path:
        """A picture for each frame of the fish's video, each brighter than the one before."""
        found = probe(self.clips / "fish.mp4")
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for index in range(found.num_frames - less):
            grey = np.full((found.height, found.width), level + index, np.uint8)
            Image.fromarray(grey).save(folder / f"{index:05d}.png")
        return folder

    def runner(self) -> PlainRunner:
        videos = [
            {"id": name, "uri": str(self.clips / f"{name}.mp4"), "prompt": f"a {name}"}
            | {"edits": EDITS}
            | self.own.get(name, {})
            for name in ("fish", "pair")
        ]
        write_manifest(self.document, videos)
        return PlainRunner(run_config(self.document, "test"))

    def __call__(self, steps: Sequence[str] = STEPS) -> tuple[dict[str, int], RunResult, State]:
        runner = self.runner()
        result = runner.run(steps)
        return counts(result), result, runner.state()


@pytest.fixture
def a_run(tmp_path: Path, tiny_models: Path, tiny_clips: Path, nets: dict[str, Path]) -> Run:
    return Run(tmp_path, tiny_models, tiny_clips, nets)


def keys(state: State) -> dict[str, str]:
    return {
        f"{name}/{row['video_id']}": row["edit_key"]
        for name, view in state.views.items()
        for row in view.edits.values()
    }


def test_a_control_that_is_added_computes_maps_and_edits_alone(a_run: Run, tmp_path: Path) -> None:
    did, _, state = a_run()
    assert did == {"ingest": 2, "tune": 2, "sample": 2}
    bare = keys(state)
    a_run.steer(a_run.net(), a_run.net("softedge", "t2i_adapter", weight=0.5))
    did, result, state = a_run((*STEPS, "score"))
    assert result.failed_fraction == 0, read_table(state.store, "failures")
    assert did == {"control": 4, "sample": 2, "score": 2}
    steered = keys(state)
    assert not {*bare.values()} & {*steered.values()}
    rows = read_table(state.store, "controls")
    assert {(row["video_id"], row["map"]) for row in rows} == {
        (video, kind) for video in ("fish", "pair") for kind in ("canny", "softedge")
    }
    edits = {row["edit_key"]: row for row in read_table(state.store, "edits")}
    for row in state.first.edits.values():
        found = edits[row["edit_key"]]
        maps = [one for one in rows if one["video_id"] == row["video_id"]]
        assert sorted(found["control_keys"]) == sorted(one["control_key"] for one in maps)
        old = edits[bare[f"tune_a_video/{row['video_id']}"]]
        assert old["sha256"] != found["sha256"], "nothing was steered"
        assert old["control_keys"] is None
    for row in rows:
        shown = read_maps_file(Path(state.store.root, row["uri"]), row["num_frames"])
        assert shown.shape == (4, 64, 64, 3)
        assert 0 < shown.mean() < 255
    assert a_run((*STEPS, "score"))[0] == {}
    assert load_run(a_run.document["run"]).first.edits.keys() == {"fish/snow", "pair/snow"}
    (card, *_) = collect(state.store, state.selection()).rows
    assert [name for name, _ in card.maps] == ["canny", "softedge"]

    # Another weight: edits alone. Other thresholds: the maps, too. Elsewhere: nothing.
    a_run.steer(a_run.net(weight=0.7))
    assert a_run()[0] == {"sample": 2}
    a_run.steer(a_run.net(weight=0.7), canny={"low": 10, "high": 20})
    assert a_run()[0] == {"control": 2, "sample": 2}
    moved = tmp_path / "moved"
    shutil.copytree(a_run.nets["controlnet"], moved)
    a_run.steer(a_run.net(weight=0.7, model=str(moved)), canny={"low": 10, "high": 20})
    assert a_run()[0] == {}
    del a_run.document["control"]
    did, _, state = a_run()
    assert (did, keys(state)) == ({}, bare)


def test_a_control_that_tunes_tunes_anew(a_run: Run) -> None:
    a_run()
    a_run.steer(a_run.net())
    a_run()
    a_run.steer(a_run.net(), tune=True)
    did, result, state = a_run()
    assert result.failed_fraction == 0, read_table(state.store, "failures")
    assert did == {"tune": 2, "sample": 2}
    a_run.steer(a_run.net(end=0.5), tune=True)  # tuning knows no end
    assert a_run()[0] == {"sample": 2}
    a_run.steer(a_run.net(weight=0.5), tune=True)
    assert a_run()[0] == {"tune": 2, "sample": 2}
    losses = {row["final_loss"] for row in read_table(state.store, "adapters")}
    assert len(losses) == 6, "each was tuned under other residuals"


def test_variants_share_maps_and_methods_that_cannot_be_steered_refuse(a_run: Run) -> None:
    a_run.document["variants"] = {
        "plain": {},
        "canny": {"control": {"nets": [a_run.net()]}},
        "weak": {"control": {"nets": [a_run.net(weight=0.2)]}},
        "both": {"control": {"nets": [a_run.net(), a_run.net("softedge", "t2i_adapter")]}},
        "sdedit": {"method": "sdedit", "control": {"nets": [a_run.net()]}, "sdedit": {"steps": 2}},
        "frames": {
            "method": "frame_by_frame",
            "control": {"nets": [a_run.net()]},
            "frame_by_frame": {"inversion_steps": 2, "steps": 2},
        },
    }
    plan = plan_run(a_run.runner().state())
    assert plan.steps["control"].todo == 4
    assert not plan.problems
    did, result, state = a_run()
    assert result.failed_fraction == 0, read_table(state.store, "failures")
    assert did == {"ingest": 2, "control": 4, "tune": 4, "sample": 12}
    status = state.status().steps["control"]
    assert (status.total, status.done, status.failed) == (4, 4, 0)
    assert a_run()[0] == {}
    a_run.document["variants"]["identity"] = {
        "method": "identity",
        "control": {"nets": [a_run.net()]},
    }
    with pytest.raises(UserError, match=r"'identity' cannot be steered, .* names 1: set control"):
        a_run()
    a_run.document["variants"] = {"identity": {"method": "identity"}}
    a_run.own["fish"] = {"control": {"nets": [a_run.net()]}}
    with pytest.raises(
        UserError, match=r"steer 'fish', but no variant's method can be steered \(identity\)"
    ):
        a_run()


def test_a_videos_own_nets_take_the_place_of_the_runs(a_run: Run) -> None:
    a_run.steer(a_run.net())
    a_run.own["pair"] = {"control": {"nets": []}}
    did, _, state = a_run()
    assert did == {"ingest": 2, "control": 1, "tune": 2, "sample": 2}
    first = keys(state)
    folder = a_run.pictures("maps", 10)
    own = [a_run.net("files", "t2i_adapter")]
    a_run.own["fish"] = {"maps": str(folder), "control": {"nets": own}}
    did, result, state = a_run()
    assert result.failed_fraction == 0, read_table(state.store, "failures")
    assert did == {"control": 1, "sample": 1}
    assert [name for name, key in keys(state).items() if key != first[name]] == [
        "tune_a_video/fish"
    ]
    row = read_table(state.store, "controls")[-1]
    assert (row["map"], row["source_uri"]) == ("files", str(folder))
    maps = read_maps_file(Path(state.store.root, row["uri"]), 4)
    indices = state.first.videos["fish"]["frame_indices"]
    assert [int(one[0, 0, 0]) for one in maps] == [10 + index for index in indices]
    assert a_run()[0] == {}
    assert load_run(a_run.document["run"]).first.edits.keys() == {"fish/snow", "pair/snow"}

    # Copied elsewhere it is read, and its edits are there; with other content they are made anew.
    shutil.copytree(folder, a_run.folder / "elsewhere")
    a_run.own["fish"]["maps"] = str(a_run.folder / "elsewhere")
    assert a_run()[0] == {"control": 1}
    a_run.pictures("elsewhere", 50)
    assert a_run()[0] == {"control": 1, "sample": 1}


def test_a_bad_map_is_its_videos_failure_and_the_rest_goes_on(a_run: Run) -> None:
    a_run.own["pair"] = {"control": {"nets": [a_run.net()]}}
    a_run.own["fish"] = {"control": {"nets": [a_run.net("files")]}}
    did, result, state = a_run()
    assert did == {"ingest": 2, "control": 2, "tune": 2, "sample": 1}
    (failure,) = state.open_failures
    assert (failure["step"], failure["video_id"]) == ("control", "fish")
    assert "the manifest names no maps of this video: give it maps" in failure["message"]
    assert result.failed_fraction == 0.5
    steps = state.status().steps
    assert (steps["control"].failed, steps["tune"].failed, steps["sample"].failed) == (1, 0, 1)

    a_run.own["fish"]["maps"] = str(a_run.folder / "maps")
    did, _, state = a_run()
    assert did == {"control": 1}
    assert "maps: " in state.open_failures[0]["message"]
    assert "does not exist: check the manifest's maps" in state.open_failures[0]["message"]
    a_run.pictures("maps", 10, less=2)
    did, _, state = a_run()
    assert did == {"control": 1}
    assert "pictures, but its video has" in state.open_failures[0]["message"]
    assert a_run()[0] == {}, "what failed for good is not tried again"
    plan = plan_run(a_run.runner().state())
    assert (plan.steps["control"].todo, plan.steps["sample"].todo) == (0, 0)
    a_run.pictures("maps", 10)
    did, result, _ = a_run()
    assert (did, result.failed_fraction) == ({"control": 1, "sample": 1}, 0)


def test_lost_maps_are_found_and_made_again(a_run: Run) -> None:
    a_run.steer(a_run.net())
    _, _, state = a_run()
    found = survey(state.store, older_than=NOW)
    assert (found.dangling, found.unknown, paths(found)) == ([], [], [])
    row = read_table(state.store, "controls")[0]
    Path(state.store.root, row["uri"]).unlink()
    found = survey(state.store, older_than=NOW)
    assert [one.address for one in found.dangling] == [row["uri"]]
    withdraw(state.store, found.dangling)
    did, _, state = a_run()
    assert did == {"control": 1}
    (again,) = (
        one for one in read_table(state.store, "controls") if one["video_id"] == row["video_id"]
    )
    assert (again["control_key"], again["sha256"]) == (row["control_key"], row["sha256"])
    stray = Path(state.store.root, "controls", f"{row['control_key']}-{'0' * 12}.mkv")
    stray.write_bytes(b"orphan")
    found = survey(state.store, older_than=NOW)
    assert paths(found) == [f"controls/{stray.name}"]
    remove(state.store, found.orphans)
    assert not stray.exists()


def test_what_cannot_be_used_is_said_before_any_work(
    a_run: Run, tiny_models: Path, tmp_path: Path
) -> None:
    wide = build_controlnet(tmp_path / "wide", tiny_models / "base", seed=1, cross_attention_dim=48)
    for net, words in (
        (a_run.net(kind="t2i_adapter", model=str(a_run.nets["controlnet"])), "needs a T2IAdapter"),
        (a_run.net(model=str(wide)), "cross_attention_dim 48, but the base 32"),
        (a_run.net(model=str(tmp_path / "no")), "is no folder here and no hub id"),
        (a_run.net("cany"), "did you mean 'canny'"),
        (a_run.net("pose"), "pose"),
    ):
        a_run.steer(net)
        with pytest.raises(UserError, match=words):
            a_run()
    assert not Path(a_run.document["run"], "tables").exists()


def test_nets_of_the_manifest_are_held_to_what_those_of_the_run_are(a_run: Run) -> None:
    for own, words in (
        ({"nets": [a_run.net("cany")]}, "did you mean 'canny'"),
        ({"nets": [a_run.net(wait=1)]}, "wait: unknown key; did you mean 'weight'"),
        ({"nets": [a_run.net("pose", model="tinyworld")]}, "tinyworld has no controlnet for the"),
        ({"nets": "all"}, "nets"),
        ({"tune": True}, "unknown key 'tune' in the control of video 'fish'"),
        ({}, "names no nets: list them"),
    ):
        a_run.own["fish"] = {"control": own}
        with pytest.raises(UserError, match=words):
            a_run()


def test_a_plan_counts_every_net_and_what_makes_maps(a_run: Run, tmp_path: Path) -> None:
    def planned() -> RunPlan:
        return plan_run(a_run.runner().state())

    def bytes_of(step: str) -> float:
        return planned().steps[step].peak_bytes or 0.0

    bare = bytes_of("sample")
    weights = (a_run.nets["t2i_adapter"] / "diffusion_pytorch_model.safetensors").stat().st_size
    a_run.own["fish"] = {"control": {"nets": [a_run.net(kind="t2i_adapter")]}}
    alone = bytes_of("sample")
    assert alone > bare + 0.9 * weights, "one video's own net counts"
    a_run.own["fish"] = {"control": {"nets": [a_run.net(), a_run.net(kind="t2i_adapter")]}}
    assert bytes_of("sample") > alone
    assert planned().steps["control"].peak_bytes is None, "no model makes edges"

    sam2 = build_sam2(tmp_path / "sam2")
    a_run.own = {}
    a_run.document["control"] = {"mask": {"model": str(sam2)}}
    a_run.document["sample"]["keep_outside"] = "sam2"
    plan = planned()
    assert plan.steps["control"].todo == 2
    side, frames = 128, 4
    least = (sam2 / "model.safetensors").stat().st_size * 0.9 + 3 * 4 * frames * side**2
    assert (plan.steps["control"].peak_bytes or 0) > least
    state = a_run.runner().state()
    costs = VariantCosts(VariantWork(state.first), find_device(state.config, None), None)
    assert any("maps of kind 'mask' of 4 frames take" in one for one in costs.problems(1e6))
