"""A run's record: what narrowed runs, and machines that lack some models, leave of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.config import RunConfig, narrowed, run_config
from components.errors import UserError
from components.manifest.edits import EditEntry, VideoEntry
from components.manifest.load import Manifest
from components.run.record import RUN_FILE, find_revisions, load_run, save_run
from components.storage.local import LocalStore

EDIT = EditEntry(name="e", category="style", prompt="{caption}, cartoon style")
VIDEO = VideoEntry(video_id="v", uri="/v.mp4", prompt="a fish", edits=(EDIT,))
MANIFEST = Manifest(name="m", videos=(VIDEO,))


class Machine:
    """Configurations of a run whose variants use two bases, one of which is on this machine."""

    def __init__(self, folder: Path, models: Path) -> None:
        self.folder = folder
        self.here, self.there = str(models / "base"), str(folder / "there")
        shutil.copytree(self.here, self.there)
        Path(self.there, "a.txt").write_text("another model")
        self.store = LocalStore(folder / "run")
        self.document: dict[str, Any] = {
            "run": str(folder / "run"),
            "manifest": "m",
            "model": {"base": self.here},
            "score": {"model": str(models / "clip")},
            "variants": {
                "near": {},
                "far": {"model": {"base": self.there}},
                "same": {"method": "identity"},
            },
        }

    def config(self, *only: str, **changes: Any) -> RunConfig:
        return narrowed(run_config(self.document | changes, "test"), only)

    def save(self, config: RunConfig) -> bool:
        return save_run(self.store, config, MANIFEST, find_revisions(config, MANIFEST))

    @property
    def record(self) -> Any:
        return json.loads(self.store.read_bytes(RUN_FILE))

    def lose(self) -> None:
        shutil.rmtree(self.there)


@pytest.fixture
def machine(tmp_path: Path, tiny_models: Path) -> Machine:
    return Machine(tmp_path, tiny_models)


def test_a_narrowed_run_needs_its_own_bases_alone_and_loses_none(machine: Machine) -> None:
    assert machine.save(machine.config())
    whole = machine.record
    assert len({one["base"] for one in whole["variants"].values()}) == 3  # one has none
    machine.lose()
    with pytest.raises(UserError, match="there"):
        find_revisions(machine.config(), MANIFEST)
    for name in ("near", "same"):
        assert not machine.save(machine.config(name))
        assert machine.record == whole
    assert list(load_run(machine.document["run"], ["far"]).views) == ["far"]


def test_what_a_base_was_before_is_not_said_of_another(machine: Machine) -> None:
    machine.save(machine.config())
    before = machine.record["variants"]["far"]["base"]
    changed = machine.document["variants"] | {"far": {"model": {"base": "org/none"}}}
    # It was renamed, which changes nothing about it.
    renamed = {"near": {}, "distant": machine.document["variants"]["far"]}
    machine.lose()
    machine.save(machine.config("near", variants=changed))
    assert list(machine.record["variants"]) == ["near", "same"]
    state = load_run(machine.document["run"])
    assert list(state.views) == ["near", "far", "same"]
    assert state.status().variants["far"].steps["sample"].left == 1
    machine.save(machine.config("near"))
    assert set(machine.record["variants"]) == {"near", "same"}  # nobody has looked since
    shutil.copytree(machine.here, machine.there)
    Path(machine.there, "a.txt").write_text("another model")
    machine.save(machine.config())
    machine.lose()
    machine.save(machine.config("near", variants=renamed))
    assert machine.record["variants"]["distant"]["base"] == before


def test_variants_that_share_a_base_are_known_from_one_of_them(machine: Machine) -> None:
    variants = {"near": {}, "other": {"tune": {"steps": 0}}, "same": {"method": "identity"}}
    machine.save(machine.config("other", variants=variants))
    found = machine.record
    assert "only" not in found["config"]
    machine.save(machine.config(variants=variants))
    assert machine.record == found
    assert found["revisions"] == found["variants"]["near"]


def test_a_run_gets_variants_beside_what_it_was(machine: Machine) -> None:
    machine.save(machine.config(variants={}, model={"base": machine.there}))
    before = machine.record["revisions"]["base"]
    machine.lose()
    machine.save(machine.config("near"))
    assert machine.record["variants"]["far"]["base"] == before
