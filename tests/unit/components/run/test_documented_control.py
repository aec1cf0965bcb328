"""The examples of docs/control.md, as they stand there but for fewer steps and one clip: with the
nets that come with the package, and beside them the untrained one that the page makes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from benchmarks.chaos.plain import PlainRunner
from components.config import run_config
from components.results.report import INDEX, collect, write_report
from components.storage.tables import read_table
from tests.checkout import REPOSITORY
from tests.runs import counts, tiny_videos, write_manifest
from tinyworld.clips import CLIPS
from tinyworld.encode import write_depth

PAGE = REPOSITORY / "docs/control.md"


def blocks(language: str) -> list[str]:
    fenced = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return fenced.findall(PAGE.read_text("utf-8"))


def test_the_documented_example_runs(
    tmp_path: Path, tiny_clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(blocks("python")[0], {})
    document = yaml.safe_load(blocks("yaml")[0])
    untrained = [{"kind": "controlnet", "model": "nets/controlnet", "map": "canny"}]
    document["variants"]["untrained"] = {"control": {"nets": untrained}}
    write_depth(CLIPS["fish"], tmp_path / "depth")
    document["manifest"] = str(tmp_path / "manifest.yaml")
    (video, *_) = tiny_videos(tiny_clips)
    write_manifest(document, [video | {"maps": "depth"}])
    document |= {"tune": {"steps": 2}, "invert": {"steps": 2}, "sample": {"steps": 2}}
    runner = PlainRunner(run_config(document, "test"))
    result = runner.run()
    assert result.failed_fraction == 0, read_table(runner.store, "failures")
    assert counts(result) == {"ingest": 1, "control": 2, "tune": 1, "sample": 12, "score": 12}
    state = runner.state()
    edits = {name: view.edits for name, view in state.views.items()}
    digests = {row["edit_key"]: row["sha256"] for row in read_table(state.store, "edits")}
    for edit, row in edits["plain"].items():
        made = {name: digests[found[edit]["edit_key"]] for name, found in edits.items()}
        assert made["untrained"] == made["plain"], "its outputs are zero"
        steered = [made[name] for name in ("plain", "depth", "canny", "adapter")]
        assert len(set(steered)) == 4, "each net that comes with the package steers"
        assert row["edit_key"] != edits["kept"][edit]["edit_key"]
    write_report(state.store, collect(state.store, state.selection()))
    page = Path(document["run"], INDEX).read_text("utf-8")
    assert page.count('aria-label="Control map: ') == 4, "two maps for each of two edits"


def test_the_other_examples_are_read(tmp_path: Path) -> None:
    real, manifest = blocks("yaml")[1:3]
    document = {"run": "r", "manifest": "m"} | yaml.safe_load(real)
    config = run_config(document, "test")
    assert [net.map for net in config.control.nets] == ["depth", "canny"]
    path = tmp_path / "manifest.yaml"
    path.write_text(manifest)
    from components.manifest.load import from_document, load_manifest, to_document

    found = load_manifest(str(path))
    (video,) = found.videos
    assert video.maps == str(tmp_path / "depths/bear")
    assert video.control is not None
    assert [net.map for net in video.control] == ["files"]
    assert from_document(to_document(found)) == found
