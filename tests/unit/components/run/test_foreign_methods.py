"""Methods of other packages: they are found, they work, and whatever they do a run goes on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from benchmarks.chaos.plain import PlainRunner
from components.cli.main import main
from components.config import run_config
from components.errors import UserError
from components.run.current import State
from components.run.undone import open_failures
from components.storage.tables import read_table
from methods.registry import UnknownMethodError, find_method, method_names
from tests.method_packages import importable, install, project
from tests.runs import counts, tiny_document, write_manifest

WAYWARD = """
import dataclasses
import os
import sys
from dataclasses import dataclass

import numpy as np
import torch
from safetensors.numpy import save_file

from methods.method import Artefact, Method, Stage


@dataclass(frozen=True, kw_only=True)
class Config:
    how: str = "well"


def raising(error):
    raise error


class Wayward(Method):
    Config = Config
    uses_base = False

    def __init__(self, settings):
        super().__init__(settings)
        self.how = settings.own.how
        self.how == "made" and raising(TypeError("made wrongly"))

    def stages(self):
        self.how == "stages" and raising(KeyError("no such stage"))
        kinds = {"kind": ["../a"], "kinds": ["a", "a"], "latents": ["latents"]}.get(self.how)
        if self.how.startswith("prepare"):
            kinds = ["first", "second"]
        return [Stage(kind=kind, parts={"own": self.settings.own}) for kind in kinds or []]

    def key_parts(self):
        return {"own": {1, 2}} if self.how == "keys" else super().key_parts()

    def nearest(self, size):
        self.how == "nearest" and raising(IndexError("sizes"))
        wide = {"num_frames": 8, "width": -(-size.width // 48) * 48}
        return dataclasses.replace(size, **wide) if self.how == "picky" else size

    def address(self, video_id, edit):
        self.how == "address" and raising(IndexError("addresses"))
        return __file__ if (self.how, edit) == ("unread", "first") else None

    @property
    def batch(self):
        return 0 if self.how == "batch" else 2

    def load(self):
        self.how == "load" and raising(ModuleNotFoundError("No module named 'xformers'"))
        self.how == "load-exit" and sys.exit("no licence")

    def check_prompt(self, prompt):
        self.how == "prompt" and raising(KeyError(prompt))

    def prepare(self, source, prepared, wanted, desk):
        how = self.how.removeprefix("prepare-")
        if how == "nothing":
            return None
        return self._prepare(how, wanted, desk)

    def _prepare(self, how, wanted, desk):
        first = desk.folder / "first"
        save_file({"a": np.zeros(3)}, first)
        how == "raise" and raising(RuntimeError("it broke"))
        how == "exit" and sys.exit(3)
        how == "few" and (yield from ())
        if how == "few":
            return
        if how == "kind":
            yield Artefact(kind="third", path=first)
        if how == "tuple":
            yield ("first", first)
        if how == "pathless":
            yield Artefact(kind="first")
        if how == "gone":
            yield Artefact(kind="first", path=desk.folder / "gone")
        if how == "folder":
            yield Artefact(kind="first", path=desk.folder)
        if how == "outside":
            yield Artefact(kind="first", path=__import__("pathlib").Path(__file__))
        if how == "link":
            (desk.folder / "link").symlink_to(first)
            yield Artefact(kind="first", path=desk.folder / "link")
        if how == "pickle":
            torch.save({"a": torch.zeros(3)}, first)
            yield Artefact(kind="first", path=first)
        if how == "fact":
            yield Artefact(kind="first", path=first, facts={"a": object()})
        (desk.folder / "left" / "over").mkdir(parents=True)
        yield Artefact(kind="first", path=first, facts={"a": np.float32(0.5), "b": None})
        assert not list(desk.folder.iterdir())
        how == "second" and raising(RuntimeError("the second broke"))
        save_file({"a": np.ones(3)}, desk.folder / "second")
        yield Artefact(kind="second", path=desk.folder / "second")
        yield "more than was wanted"

    def edit(self, source, edits, prepared):
        frames = source.frames
        if self.how == "none":
            return None
        given = {
            "yields-none": None,
            "few": frames[:-1],
            "floats": frames / 255,
            "odd": frames[:, :-1, :-1],
            "small": frames[:, ::2, ::2],
            "grey": frames[..., 0],
            "tensor": torch.tensor(frames),
            "list": frames.tolist(),
            "text": "frames",
        }
        if self.how in given:
            return [given[self.how] for _ in edits]
        return self._edit(frames, edits)

    def _edit(self, frames, edits):
        self.how == "raise" and raising(RuntimeError("out of ideas \\ud800 s3://me:secret@b/c"))
        self.how == "exit" and sys.exit("enough")
        self.how == "file" and open("/no/such/file")
        self.how == "memory" and raising(MemoryError())
        self.how == "stop" and next(iter(()))
        for number, edit in enumerate(edits):
            if self.how == "second" and edit.name == "second":
                raise RuntimeError("not that one")
            if self.how == "less" and number:
                return
            yield frames
"""

FAILURES = {
    "none": r"TypeError: 'NoneType' object is not iterable",
    "yields-none": r"gave nothing for 'fish/",
    "few": r"gave uint8 of shape \(3, 64, 64, 3\) .* the clip's shape \(4, 64, 64, 3\) is needed",
    "floats": r"gave float64 of shape",
    "odd": r"shape \(4, 63, 63, 3\)",
    "small": r"shape \(4, 32, 32, 3\)",
    "grey": r"shape \(4, 64, 64\) ",
    "tensor": r"gave torch.uint8 of",
    "list": r"gave list of",
    "text": r"gave str of",
    "raise": r"method 'wayward' failed: RuntimeError: out of ideas .*s3://\*\*\*@b/c",
    "exit": r"failed: SystemExit: enough",
    "file": r"failed: FileNotFoundError: .*/no/such/file",
    "memory": r"failed: MemoryError",
    "stop": r"failed: RuntimeError: generator raised StopIteration",
    "prompt": r"failed: KeyError",
    "unread": r"names .*tav_wayward\.py as 'fish/.* and did not read it",
    "prepare-raise": r"method 'wayward' failed: RuntimeError: it broke",
    "prepare-exit": r"failed: SystemExit: 3",
    "prepare-nothing": r"failed: TypeError: 'NoneType' object is not iterable",
    "prepare-few": r"was asked for 'first' and gave nothing",
    "prepare-kind": r"was asked for 'first' and gave 'third'",
    "prepare-tuple": r"was asked for 'first' and gave 'tuple'",
    "prepare-pathless": r"gave None as its 'first', but a file in desk\.folder is needed",
    "prepare-gone": r"gave .*/gone as its 'first'",
    "prepare-folder": r"gave .*/desk as its 'first'",
    "prepare-outside": r"gave .*tav_wayward\.py as its 'first'",
    "prepare-link": r"gave .*/link as its 'first'",
    "prepare-pickle": r"failed: SafetensorError",
    "prepare-fact": r"failed: TypeError: a fact is <object",
    "prepare-second": r"failed: RuntimeError: the second broke",
}
"""What the failure rows of each say."""
REFUSED = {
    "made": r"method 'wayward' failed when it was asked: TypeError: made wrongly",
    "stages": r"failed when it was asked: KeyError: 'no such stage'",
    "kind": r"stage of kind '\.\./a': name it with",
    "kinds": r"two stages of kind 'a': rename one",
    "latents": r"keeps latents, but not right after an adapter",
    "keys": r"failed when it was asked: TypeError: ",
    "nearest": r"failed when it was asked: IndexError: sizes",
    "address": r"failed when it was asked: IndexError: addresses",
    "batch": r"refuses its settings: batch is 0, but must be at least 1",
}
"""What stops a run before it begins."""


@pytest.fixture(scope="module")
def wayward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    files = {
        "tav_wayward.py": WAYWARD,
        "pyproject.toml": project("tav-wayward", "tav_wayward", wayward="Wayward"),
    }
    site = install(tmp_path_factory.mktemp("wayward"), files)
    with importable(site):
        yield site


@pytest.fixture
def document(tmp_path: Path, tiny_models: Path, tiny_clips: Path) -> dict[str, Any]:
    document = tiny_document(tmp_path, tiny_models)
    document["model"]["base"] = "no/such-base-is-asked-for"
    edits = [{"id": name, "prompt": f"a {name} fish"} for name in ("first", "second")]
    fish = {"id": "fish", "uri": str(tiny_clips / "fish.mp4"), "prompt": "a red fish"}
    write_manifest(document, [fish | {"edits": edits}])
    return document


def variants(*names: str) -> dict[str, Any]:
    return {name: {"method": "wayward", "wayward": {"how": name}} for name in names}


def messages(state: State, variant: str) -> dict[str, str]:
    return {
        row["edit_id"] or row["video_id"]: row["message"]
        for row in open_failures(state.views[variant])
    }


def test_whatever_a_method_does_becomes_failure_rows_and_the_rest_is_done(
    document: dict[str, Any], wayward: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = ("well", "second", "less", "prepare-well")
    document["variants"] = variants(*FAILURES, *good)
    runner = PlainRunner(run_config(document, "test"))
    result = runner.run()
    state = runner.state()
    ids = {"fish/first", "fish/second"}
    for name in ("well", "less", "prepare-well"):
        assert set(state.views[name].edits) == ids, name
        assert len(state.views[name].scores) == 2
    # An edit that fails takes none of its batch with it.
    assert set(state.views["second"].edits) == {"fish/first"}
    assert "not that one" in messages(state, "second")["fish/second"]
    for name, words in FAILURES.items():
        found = messages(state, name)
        asked = {"fish/first"} if name == "unread" else ids
        assert set(found) == ({"fish"} if name.startswith("prepare") else asked), name
        for message in found.values():
            assert re.search(words, message), (name, message)
            assert "secret" not in message
        assert set(state.views[name].edits) == ids - asked
    for row in read_table(state.store, "failures"):
        assert "secret" not in row["traceback"]
    assert "secret" not in caplog.text
    # Each stage that was done counts, those before one that failed too.
    kinds = []
    for row in read_table(state.store, "artefacts"):
        facts = json.loads(row["facts"])
        assert facts.pop("peak_bytes") > 1e7
        kinds.append((row["kind"], facts))
    kinds.sort(key=itemgetter(0))
    assert kinds == [("first", {"a": 0.5, "b": None})] * 2 + [("second", {})]
    assert result.status.variants["well"].failed_fraction == 0
    again = PlainRunner(run_config(document, "test")).run()
    assert counts(again) == {}, "what failed for good is not tried again"


@pytest.mark.parametrize("how", REFUSED)
def test_a_method_that_cannot_say_what_it_needs_stops_the_run_at_its_start(
    document: dict[str, Any], wayward: Path, how: str
) -> None:
    document["variants"] = variants("well", how)
    with pytest.raises(UserError, match=REFUSED[how]):
        PlainRunner(run_config(document, "test"))
    assert not Path(document["run"]).exists()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("load", "method 'wayward': its model cannot be loaded: ModuleNotFoundError: No module"),
        ("load-exit", "method 'wayward': its model cannot be loaded: SystemExit: no licence"),
    ],
)
def test_a_method_that_cannot_be_loaded_stops_the_run_with_one_message(
    document: dict[str, Any], wayward: Path, how: str, words: str
) -> None:
    document["variants"] = variants("well", how)
    runner = PlainRunner(run_config(document, "test"))
    with pytest.raises(UserError, match=words):
        runner.run()
    assert len(runner.state().views["well"].edits) == 2, "what came before it is kept"
    assert runner.state().open_failures == []


def test_clips_that_a_method_cannot_take_are_refused_with_the_nearest_that_fit(
    document: dict[str, Any], wayward: Path, tmp_path: Path
) -> None:
    document["variants"] = variants("well", "picky")
    words = (
        r"variant 'picky' \(wayward\) cannot take 4 frames of 64x64 \(video 'fish' first\): the "
        "nearest that fits is 8 frames of 96x64"
    )
    with pytest.raises(UserError, match=words) as refused:
        PlainRunner(run_config(document, "test"))
    assert "'well'" not in str(refused.value)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    told = CliRunner().invoke(main, ["plan", "--config", str(tmp_path / "run.yaml")])
    assert told.exit_code == 1
    assert re.search(words, " ".join((told.output + str(told.exception)).split()))
    assert not Path(document["run"]).exists()
    # One that fits, though a video of the manifest may still ask for another.
    document["video"] = {"num_frames": 8, "width": 96, "height": 64}
    PlainRunner(run_config(document, "test"))
    manifest = Path(document["manifest"])
    videos = yaml.safe_load(manifest.read_text("utf-8"))["videos"]
    write_manifest(document, [*videos, videos[0] | {"id": "other", "frames": {"num_frames": 9}}])
    with pytest.raises(UserError, match=r"9 frames of 96x64 \(video 'other' first\)"):
        PlainRunner(run_config(document, "test"))


def test_an_unknown_setting_is_an_error_though_the_class_does_not_say_so(
    document: dict[str, Any], wayward: Path
) -> None:
    with pytest.raises(
        UserError, match=r"(?s)wayward: 1 problem.*hwo: unknown key; did you mean 'how'"
    ):
        run_config(document | {"wayward": {"hwo": "well"}}, "test")


def test_packages_that_add_no_method_are_told(tmp_path: Path) -> None:
    code = "class Plain:\n    pass\n\n\ndef broken():\n    pass\n"
    mine = project("tav-odd", "tav_odd", plain="Plain", function="broken", gone="Gone")
    site = install(tmp_path / "odd", {"tav_odd.py": code, "pyproject.toml": mine})
    wrong = project("tav-named", "tav_named", **{"Bad-Name": "Plain", "sdedit": "Plain"})
    other = install(tmp_path / "named", {"tav_named.py": code, "pyproject.toml": wrong})
    with importable(site, other):
        assert "Bad-Name" not in method_names()
        for name, words in {
            "plain": r"'plain' \(tav_odd:Plain\) is no class derived from methods\.method\.Method",
            "function": r"is no class derived from",
            "gone": r"'gone' \(tav_odd:Gone\) cannot be imported: AttributeError",
            "Bad-Name": r"tav-named names a method 'Bad-Name': use 1 to 64 of a-z",
            "sdedit": r"'sdedit' is added by .*tav-named.* and by .*uninstall one|"
            r"'sdedit' is added by tune-a-video-at-scale.*tav-named.*uninstall one",
        }.items():
            with pytest.raises(UnknownMethodError, match=words):
                find_method(name)
    assert "plain" not in method_names()
