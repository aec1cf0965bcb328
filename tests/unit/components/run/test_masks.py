"""Masks from manifest to edit: who sees them, whose keys they are in, and what a bad one costs.

Without Ray; the method that uses them is another package's.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.chaos.plain import PlainRunner
from components.config import run_config
from components.errors import UserError
from components.records.revisions import resolve_revision
from components.run.current import State
from components.run.estimate import plan_run
from components.run.runner import RunResult
from components.run.undone import open_failures
from components.storage.tables import read_table
from components.video.io import probe
from components.video.sources import source_sha256
from tests.method_packages import importable, install, project
from tests.random_models import build_vit
from tests.runs import counts, tiny_document, write_manifest

CUT = """
from dataclasses import dataclass

import numpy as np
from safetensors.numpy import save_file

from methods.method import Artefact, Method, Stage


@dataclass(frozen=True, kw_only=True)
class Config:
    pass


class Cut(Method):
    Config = Config
    uses_base = False
    uses_mask = True

    def stages(self):
        return [Stage(kind="atlas", parts={})]

    def prepare(self, source, prepared, wanted, desk):
        mask = np.zeros(0) if source.mask is None else source.mask
        save_file({"mask": mask.astype(np.uint8)}, desk.folder / "atlas")
        yield Artefact(kind="atlas", path=desk.folder / "atlas", facts={"pixels": int(mask.sum())})

    def edit(self, source, edits, prepared):
        for _ in edits:
            mask = source.mask
            yield source.frames if mask is None else np.where(mask[..., None], 255, 0).astype(
                np.uint8
            ).repeat(3, axis=-1)


class Sly(Cut):
    uses_mask = False


class Inverted(Cut):
    def stages(self):
        return [Stage(kind="adapter", parts={}, of="tune_a_video"), Stage(kind="latents", parts={})]
"""
EDITS = [{"id": "snow", "category": "background", "prompt": "{caption}, in the snow"}]
STEPS = ("ingest", "caption", "tune", "sample")


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    names = {"cut": "Cut", "sly": "Sly", "inverted": "Inverted"}
    files = {"tav_cut.py": CUT, "pyproject.toml": project("tav-cut", "tav_cut", **names)}
    site = install(tmp_path_factory.mktemp("cut"), files)
    with importable(site):
        yield site


class Run:
    """Two clips; two variants, one of which uses masks."""

    def __init__(self, folder: Path, models: Path, clips: Path) -> None:
        self.folder, self.clips = folder, clips
        self.document = tiny_document(folder, models)
        self.document["model"]["base"] = "no/such-base-is-asked-for"
        self.document["output"] = {"frames": True}
        self.document["variants"] = {
            "identity": {"method": "identity"},
            "cut": {"method": "cut"},
        }
        self.masks: dict[str, Any] = {}

    def mask(self, name: str, left: int) -> Path:
        """Write a mask: in frame i a box from column ``left + i`` of the clip on."""
        found = probe(self.clips / "fish.mp4")
        scale = found.height // 64
        assert (found.width, found.height) == (64 * scale, 64 * scale)
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for index in range(found.num_frames):
            picture = np.zeros((64, 64), np.uint8)
            picture[8:16, left + index :] = 1
            image = Image.fromarray(picture.repeat(scale, 0).repeat(scale, 1), mode="P")
            image.putpalette([0, 0, 0, 128, 0, 0])
            image.save(folder / f"{index:05d}.png")
        return folder

    def __call__(self, steps: Sequence[str] = STEPS) -> tuple[dict[str, int], RunResult, State]:
        videos = [
            {"id": name, "uri": str(self.clips / f"{name}.mp4"), "prompt": f"a {name}"}
            | {"edits": EDITS}
            | ({"mask": str(self.masks[name])} if name in self.masks else {})
            for name in ("fish", "pair")
        ]
        write_manifest(self.document, videos)
        runner = PlainRunner(run_config(self.document, "test"))
        result = runner.run(steps)
        return counts(result), result, runner.state()


@pytest.fixture
def a_run(tmp_path: Path, tiny_models: Path, tiny_clips: Path, cut: Path) -> Run:
    return Run(tmp_path, tiny_models, tiny_clips)


def keys(state: State) -> dict[str, str]:
    """Of edits, by variant and video."""
    return {
        f"{name}/{row['video_id']}": row["edit_key"]
        for name, view in state.views.items()
        for row in view.edits.values()
    }


def frames_of(state: State, edit_key: str) -> Any:
    (row,) = (row for row in read_table(state.store, "edits") if row["edit_key"] == edit_key)
    folder = Path(state.store.root, row["frames_uri"])
    return np.stack([np.asarray(Image.open(path))[..., 0] for path in sorted(folder.iterdir())])


def test_a_mask_moves_the_keys_of_what_uses_it_and_of_nothing_else(a_run: Run) -> None:
    did, result, state = a_run()
    assert result.failed_fraction == 0, read_table(state.store, "failures")
    assert did == {"ingest": 2, "tune": 2, "sample": 4}
    without, clips = keys(state), {row["video_key"] for row in state.first.videos.values()}

    # A mask for one of the clips: it is read once more, and its masked edits are made.
    mask = a_run.masks["fish"] = a_run.mask("mask", 4)
    did, result, state = a_run()
    assert result.failed_fraction == 0, read_table(state.store, "failures")
    assert did == {"ingest": 1, "tune": 1, "sample": 1}
    first = keys(state)
    assert {name for name, key in first.items() if key != without[name]} == {"cut/fish"}
    row = state.first.videos["fish"]
    assert {row["video_key"] for row in state.first.videos.values()} == clips
    assert (row["mask_uri"], row["mask_sha256"]) == (str(mask), source_sha256(mask))
    assert row["mask_version"] is not None
    assert state.first.videos["pair"]["mask_uri"] is None

    # The method saw it frame for frame: the clip has some of the source's frames alone.
    seen = frames_of(state, first["cut/fish"])
    expected = np.zeros((4, 64, 64), np.uint8)
    for place, index in enumerate(row["frame_indices"]):
        expected[place, 8:16, 4 + index :] = 255
    assert np.array_equal(seen, expected)
    facts = [json.loads(row["facts"])["pixels"] for row in read_table(state.store, "artefacts")]
    assert sorted(facts) == [0, 0, (expected > 0).sum()]
    assert a_run()[0] == {}

    # Another mask at the same address.
    a_run.mask("mask", 20)
    did, _, state = a_run()
    assert did == {"ingest": 1, "tune": 1, "sample": 1}
    second = keys(state)
    assert {name for name, key in second.items() if key != first[name]} == {"cut/fish"}
    assert a_run()[0] == {}

    # None: nothing is computed, and the edits without one are there.
    del a_run.masks["fish"]
    did, _, state = a_run()
    assert (did, keys(state)) == ({}, without)

    # The first one again, elsewhere: read, and its edits are there.
    a_run.masks["fish"] = a_run.mask("elsewhere", 4)
    did, _, state = a_run()
    assert (did, keys(state)) == ({"ingest": 1}, first)


def test_scores_that_read_masks_follow_them_and_others_stay(a_run: Run) -> None:
    a_run.document["variants"] = {"identity": {"method": "identity"}}
    build_vit(a_run.folder / "dino")
    a_run.document["score"] = {
        "protocols": ["background_v1", "structure_v1"],
        "judges": {"dino_vitb8": {"model": str(a_run.folder / "dino")}},
    }
    steps = (*STEPS, "score")

    def run() -> tuple[dict[str, int], dict[tuple[str, str], Any]]:
        did, result, state = a_run(steps)
        assert result.failed_fraction == 0, read_table(state.store, "failures")
        rows = state.first.scores
        return did, {(name, protocol): row["score_key"] for (name, protocol), row in rows.items()}

    did, bare = run()
    assert did == {"ingest": 2, "sample": 2, "score": 4}
    a_run.masks["fish"] = a_run.mask("mask", 4)
    did, masked = run()
    assert did == {"ingest": 1, "score": 1}
    moved = {name for name, key in masked.items() if key != bare[name]}
    assert moved == {("fish/snow", "background_v1")}
    state = a_run(steps)[2]
    rows = {row["score_key"]: row for row in read_table(state.store, "scores")}
    assert rows[masked["fish/snow", "background_v1"]]["values"].keys() == {
        *("psnr", "ssim", "whole_psnr", "whole_ssim")
    }
    kept = rows[masked["fish/snow", "structure_v1"]]
    assert kept["score_revision"] == resolve_revision(str(a_run.folder / "dino"))
    assert 0 < kept["values"]["structure_distance"] < 4000
    without = rows[masked["pair/snow", "background_v1"]]
    assert without["values"] == {}
    assert "the video has no mask" in without["reasons"]["psnr"]
    a_run.mask("mask", 20)
    assert run()[0] == {"ingest": 1, "score": 1}
    a_run.mask("mask", 4)
    did, again = run()
    assert (did, again) == ({"ingest": 1}, masked)
    del a_run.masks["fish"]
    assert run() == ({}, bare)


def test_a_score_whose_mask_changed_is_a_failure_until_it_is_read_again(a_run: Run) -> None:
    a_run.document["variants"] = {"identity": {"method": "identity"}}
    a_run.document["score"] = {"protocols": ["background_v1"]}
    a_run.masks["fish"] = a_run.mask("mask", 4)
    a_run()
    a_run.mask("mask", 20)
    runner = PlainRunner(run_config(a_run.document, "test"))
    runner.run(["score"])  # and no ingest
    (failure,) = runner.state().open_failures
    assert (failure["step"], failure["edit_id"]) == ("score", "fish/snow")
    assert re.search(r"mask: .*mask has sha256 .* it changed; run again", failure["message"])
    assert {edit_id for edit_id, _ in runner.state().first.scores} == {"pair/snow"}
    did, result, _ = a_run((*STEPS, "score"))
    assert (did, result.failed_fraction) == ({"ingest": 1, "score": 1}, 0)


def test_a_plan_says_what_will_have_no_value(a_run: Run) -> None:
    a_run.document["variants"] = {"identity": {"method": "identity"}}
    a_run.document["score"] = {"protocols": ["background_v1", "warp_error_dis_v1"]}
    a_run.masks["fish"] = a_run.mask("mask", 4)
    state = a_run(())[2]
    (note,) = plan_run(state).notes
    assert note.startswith("1 of 2 video(s) have no mask, so that background_v1 will have no value")
    a_run.masks["pair"] = a_run.mask("other", 4)
    assert plan_run(a_run(())[2]).notes == []
    a_run.masks.clear()
    a_run.document["score"] = {"protocols": ["warp_error_dis_v1"]}
    assert plan_run(a_run(())[2]).notes == []


def test_a_judge_that_is_not_there_is_told_before_anything_is_read(a_run: Run) -> None:
    for model, words in (
        (None, r"names no model for 'raft', which warp_error_v1 judges with"),
        ("absent", r"score\.judges\.raft: model '.*absent' is no folder here"),
        ("pickles", r"score\.judges\.raft: .*pickles has no safetensors"),
    ):
        a_run.document["score"] = {"protocols": ["warp_error_v1"]}
        if model is not None:
            folder = a_run.folder / model
            a_run.document["score"]["judges"] = {"raft": {"model": str(folder)}}
        if model == "pickles":
            folder.mkdir()
            (folder / "raft.pth").write_bytes(b"pickled")
        with pytest.raises(UserError, match=words):
            a_run()
    assert not Path(a_run.document["run"], "tables").exists()


def test_a_bad_mask_is_its_videos_failure_and_the_rest_goes_on(a_run: Run) -> None:
    before = keys(a_run()[2])
    mask = a_run.masks["fish"] = a_run.mask("mask", 4)
    (mask / "00003.png").unlink()
    count = len(list(mask.iterdir()))
    did, result, state = a_run()
    assert did == {"ingest": 1}
    (failure,) = state.open_failures
    assert (failure["step"], failure["video_id"]) == ("ingest", "fish")
    assert failure["error_type"] == "SourceError"
    words = rf"mask: .*mask has {count} frames, but its video has {count + 1}: give one"
    assert re.search(words, failure["message"])
    assert result.failed_fraction == 0.5
    assert {name.partition("/")[2] for name in keys(state)} == {"pair"}
    assert a_run()[0] == {}, "what failed for good is not tried again"

    a_run.mask("mask", 4)  # mended: only what uses it is made
    did, result, state = a_run()
    assert (did, result.failed_fraction) == (
        {"ingest": 1, "tune": 1, "sample": 1},
        0,
    )
    assert {name for name, key in keys(state).items() if key != before[name]} == {"cut/fish"}


def test_a_mask_that_is_not_there_is_told_before_anything_is_read(a_run: Run) -> None:
    a_run.masks["fish"] = a_run.folder / "gone"
    did, _, state = a_run()
    assert did == {"ingest": 2, "tune": 1, "sample": 2}
    (failure,) = state.open_failures
    assert failure["video_id"] == "fish"
    assert re.fullmatch(
        r"mask: .*/gone does not exist: check the manifest's mask", failure["message"]
    )
    assert a_run()[0] == {}
    a_run.mask("gone", 4)
    assert a_run()[0] == {"ingest": 1, "tune": 1, "sample": 2}


def test_a_mask_that_changed_since_is_no_mask_any_more(a_run: Run) -> None:
    a_run.masks["fish"] = a_run.mask("mask", 4)
    both = a_run.document["variants"]
    a_run.document["variants"] = {"identity": both["identity"]}
    a_run()
    a_run.document["variants"] = both
    a_run.mask("mask", 20)
    runner = PlainRunner(run_config(a_run.document, "test"))
    runner.run(["tune", "sample"])  # and no ingest
    (failure,) = runner.state().open_failures
    assert failure["step"] == "tune"
    assert re.search(r"mask: .*mask has sha256 .* it changed; run again", failure["message"])
    did, result, _ = a_run()
    assert (did["ingest"], result.failed_fraction) == (1, 0)


def test_a_method_that_does_not_say_so_is_given_no_mask(a_run: Run) -> None:
    a_run.masks["fish"] = a_run.mask("mask", 4)
    a_run.document["variants"] = {"sly": {"method": "sly"}, "cut": {"method": "cut"}}
    _, _, state = a_run()
    assert len(state.views["cut"].edits) == 2
    failures = open_failures(state.views["sly"])
    assert {row["step"] for row in failures} == {"tune"}
    for row in failures:
        assert "'sly' asks for a mask, but its class says uses_mask = False" in row["message"]


def test_latents_of_another_methods_adapter_may_not_depend_on_a_mask(a_run: Run) -> None:
    a_run.document["variants"] = {"inverted": {"method": "inverted"}}
    with pytest.raises(UserError, match=r"'inverted' uses masks .* 'tune_a_video', .* kind of its"):
        a_run()
