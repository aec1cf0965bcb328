"""Benchmarks there and back: imported, run, exported, and found by their own index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from components.cli.main import main
from components.run.runner import Runner
from components.storage.store import file_sha256
from components.storage.tables import read_table
from components.video.io import read_mp4_frames
from tests.benchmark_folders import (
    loveu_index,
    picture_size,
    v2vbench_data,
    v2vbench_index,
    write_loveu,
    write_v2vbench,
)
from tests.runs import counts, run_config

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]


def tav(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, list(words))
    return done.exit_code, done.stderr


def run(tiny_run: dict[str, Any], root: Path) -> tuple[Runner, dict[str, int]]:
    document = tiny_run | {
        "manifest_root": str(root),
        "tune": {"steps": 1},
        "invert": {"steps": 1},
        "sample": {"steps": 1},
        "variants": {"tuned": {}, "untouched": {"method": "identity"}},
    }
    runner = Runner(run_config(document))
    return runner, counts(runner.run())


def test_loveu_there_and_back(tiny_run: dict[str, Any], tmp_path: Path) -> None:
    root = tmp_path / "bench"
    write_loveu(root, only=["dav-0", "you-22", "vid-36"], frames=5)
    code, told = tav("import-benchmark", "loveu", "--from", str(root), "--to", tiny_run["manifest"])
    assert code == 3
    assert told.count("holds no .jpg frames: unpack the clip there") == 73

    runner, done = run(tiny_run, root)
    assert (done["sample"], done["score"]) == (24, 24)
    videos = read_table(runner.state().store, "videos")
    assert {row["num_frames"] for row in videos} == {5}, "each clip is taken whole"

    out = str(tmp_path / "submission")
    words = ("export", tiny_run["run"], "--layout", "loveu", "--to", out)
    assert tav(*words)[0] == 1, "which variant is to be said"
    assert tav(*words, "--variant", "tuned") == (0, "")
    found = dict(loveu_index(root, Path(out)))
    rows = {row["prompt"]: row for row in read_table(runner.state().store, "edits")}
    assert found.keys() == rows.keys()
    assert len(found) == 12
    for files in found.values():
        assert [file.name for file in files] == [f"0000{number}.jpg" for number in range(5)]
        assert {picture_size(file) for file in files} == {(64, 64)}
    assert len(list(Path(out).rglob("*.jpg"))) == 60, "nothing but what the index finds"


def test_v2vbench_there_and_back(tiny_run: dict[str, Any], tmp_path: Path) -> None:
    root = tmp_path / "bench"
    write_v2vbench(root, v2vbench_data(["hike", "bear"]), ["hike", "bear"])
    words = ("import-benchmark", "v2vbench", "--from", str(root), "--to", tiny_run["manifest"])
    assert tav(*words) == (0, "")

    runner, done = run(tiny_run, root)
    assert (done["sample"], done["score"]) == (12, 12)
    out = tmp_path / "results"
    words = ("export", tiny_run["run"], "--layout", "v2vbench", "--to", str(out))
    assert tav(*words, "--variant", "tuned") == (0, "")
    found = dict(v2vbench_index(root / "config.yaml", out))
    rows = read_table(runner.state().store, "edits")
    tuned = {row["prompt"]: row for row in rows if row["method"] == "tune_a_video"}
    assert found.keys() == tuned.keys()
    assert len(found) == 6
    for prompt, file in found.items():
        assert file_sha256(file) == tuned[prompt]["sha256"]
        assert len(read_mp4_frames(file)) == 4
    assert len([path for path in out.rglob("*") if path.is_file()]) == 6
