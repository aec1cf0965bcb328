"""The compiled pipelines, run by Kubeflow's own local runner on a real Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from components.run.record import load_run
from components.storage.local import LocalStore
from components.storage.schemas import KEYS
from components.storage.tables import read_table
from tinyworld.clips import CLIPS, write_clips

pytestmark = pytest.mark.soak

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "manifests/runs/demo.yaml"
QUICK = ("tune.steps=2", "invert.steps=2", "sample.steps=2", "ray.workers=1")
BEFORE_SAMPLE = ("videos", "captions", "adapters", "latents")
TABLES = (*BEFORE_SAMPLE, "edits", "scores")


def tav(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`tav`, as a user calls it, with this checkout's packages."""
    return subprocess.run(
        [sys.executable, "-m", "components.cli", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        check=False,
    )


def pipeline(folder: Path, manifest: str, run: str, *words: str) -> tuple[int, str]:
    """Run a pipeline to its end: its exit code, and what it printed."""
    done = tav(
        *("pipeline", "run", "--config", str(DEMO), "--artifacts", "artifacts"),
        *(f"manifest={manifest}", f"run={folder / run}", *QUICK, *words),
        cwd=folder,
    )
    return done.returncode, done.stdout + done.stderr


def rows(run: Path, table: str) -> dict[tuple[Any, ...], Any]:
    """A table's rows by key: the scores that they hold, or their objects' digests."""
    names = ("values", "reasons", "sha256", "caption", "final_loss", "reconstruction_psnr")
    return {
        tuple(row[key] for key in KEYS[table]): [row.get(name) for name in names]
        for row in read_table(LocalStore(run), table)
    }


def commits(run: Path) -> dict[tuple[Any, ...], Any]:
    """When each row of a run was made, by table and key."""
    return {
        (table, *(row[key] for key in KEYS[table])): row["created_at"]
        for table in TABLES
        for row in read_table(LocalStore(run), table)
    }


def files(run: Path, *folders: str) -> dict[str, int]:
    """The times of change of a run's files, by path."""
    return {
        str(path.relative_to(run)): path.stat().st_mtime_ns
        for folder in folders
        for path in (run / folder).rglob("*")
        if path.is_file()
    }


def outcomes(run: Path) -> list[dict[str, Any]]:
    """What the exit task recorded, oldest first."""
    found = [json.loads(path.read_text("utf-8")) for path in (run / "outcomes").iterdir()]
    return sorted(found, key=lambda one: str(one["at"]))


def artifact(folder: Path, task: str, name: str) -> Path:
    """What the last execution's task put out."""
    *_, last = sorted(folder.glob(f"artifacts/*/{task}/{name}"), key=lambda p: p.stat().st_mtime)
    return last


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo's manifest in three states, and the run that `tav run` makes."""
    folder = tmp_path_factory.mktemp("pipeline")
    write_clips(folder / "clips")
    document = yaml.safe_load((ROOT / "manifests/datasets/demo.yaml").read_text("utf-8"))
    videos = document["videos"]
    for video in videos:
        video["uri"] = f"clips/{video['id']}.mp4"
    write_manifest(folder / "demo.yaml", videos)
    *others, last = videos[-1]["edits"]
    lacking = [*videos[:-1], videos[-1] | {"edits": others}]
    write_manifest(folder / "lacking.yaml", lacking)
    unreadable = {**last, "prompt": "a car in the " + "very " * 100 + "deep snow"}
    unreadable.pop("replace", None)
    write_manifest(
        folder / "long-prompt.yaml", [*videos[:-1], videos[-1] | {"edits": [*others, unreadable]}]
    )
    words = ("run", "--config", str(DEMO), "manifest=demo.yaml", f"run={folder / 'plain'}")
    done = tav(*words, *QUICK, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def write_manifest(path: Path, videos: list[dict[str, Any]]) -> None:
    path.write_text(yaml.safe_dump({"videos": videos}, sort_keys=False), "utf-8")


def test_a_step_that_fails_midway_is_gone_on_from_to_what_tav_run_makes(demo: Path) -> None:
    """One prompt is longer than the text encoder reads, which shows when it is to be sampled."""
    run = demo / "kfp"
    code, said = pipeline(demo, "long-prompt.yaml", "kfp")
    assert code == 1, said
    assert "Inner task failed: 'sample' inside 'exit-handler-1'" in said
    (failed,) = outcomes(run)
    assert failed["state"] == "FAILED"
    steps = failed["status"]["steps"]
    assert steps["tune"] == {"total": 4, "done": 4, "failed": 0, "left": 0}
    assert steps["sample"] == {"total": 12, "done": 11, "failed": 1, "left": 0}
    assert steps["score"]["done"] == 0
    assert not (run / "report").exists()
    (failure,) = read_table(LocalStore(run), "failures")
    assert (failure["step"], failure["error_type"]) == ("sample", "PromptError")
    committed = commits(run)
    kept = files(run, "adapters", *(f"tables/{table}" for table in BEFORE_SAMPLE))

    code, said = pipeline(demo, "demo.yaml", "kfp")  # the prompt is mended
    assert code == 0, said
    assert [one["state"] for one in outcomes(run)] == ["FAILED", "SUCCEEDED"]
    assert files(run, "adapters", *(f"tables/{table}" for table in BEFORE_SAMPLE)) == kept
    now = commits(run)
    assert {key: now[key] for key in committed} == committed
    added = [table for table, *_ in now.keys() - committed.keys()]
    assert {table: added.count(table) for table in added} == {"edits": 1, "scores": 24}
    for table in TABLES:
        assert rows(run, table) == rows(demo / "plain", table), table

    published = pq.read_table(artifact(demo, "publish", "scores"))
    assert {"frame_consistency", "edited_right", "reasons"} <= set(published.column_names)
    assert published.num_rows == 24
    summary = artifact(demo, "publish", "summary").read_text("utf-8")
    assert "tinyworld_v2.edited_right" in summary
    page = artifact(demo, "report", "gallery").read_text("utf-8")
    assert page.count("data:video/mp4;base64,") >= 4 + 12
    assert (run / "report/index.html").exists()


def test_a_benchmark_is_computed_anew_and_compared_with_its_baseline(demo: Path) -> None:
    bound = ("--bound", "tav_paper_v1.frame_consistency=0.01", "--baseline", str(demo / "plain"))
    words = ("--pipeline", "reevaluate", *bound, "--param", "evaluation=again")
    code, said = pipeline(demo, "demo.yaml", "bench", *words)
    assert code == 0, said
    assert rows(demo / "bench/again", "scores") == rows(demo / "plain", "scores")
    assert commits(demo / "bench/again").keys() == commits(demo / "plain").keys()
    assert "No regression" in artifact(demo, "compare", "summary").read_text("utf-8")

    code, said = pipeline(demo, "lacking.yaml", "bench", *words)
    assert code == 1
    assert "Inner task failed: 'compare' inside 'exit-handler-1'" in said
    assert "frame_consistency is" in said
    assert "1 edit(s) lack it now" in said
    states = [one["state"] for one in outcomes(demo / "bench/again")]
    assert states == ["SUCCEEDED", "FAILED"]


VARIANTS: dict[str, Any] = {
    "no_tuning": {"tune": {"steps": 0}},
    "half": {"method": "sdedit", "sdedit": {"strength": 0.5, "steps": 4}},
    "source": {"method": "identity"},
}


def test_variants_are_computed_as_tav_run_computes_them(tmp_path: Path) -> None:
    """Two of them alone at first, then all."""
    write_clips(tmp_path / "clips")
    edits = [
        {"id": "yellow", "category": "object", "replace": {"red": "yellow"}},
        {"id": "cartoon", "category": "style", "prompt": "{caption}, cartoon style"},
    ]
    prompt = CLIPS["fish"].caption()
    video = {"id": "fish", "uri": "clips/fish.mp4", "prompt": prompt, "edits": edits}
    write_manifest(tmp_path / "m.yaml", [video])
    word = f"variants={json.dumps(VARIANTS)}"
    words = ("run", "--config", str(DEMO), "manifest=m.yaml", f"run={tmp_path / 'plain'}", word)
    done = tav(*words, *QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr

    narrow = ("--variant", "source", "--variant", "half")
    code, said = pipeline(tmp_path, "m.yaml", "kfp", word, *narrow)
    assert code == 0, said
    assert {row["method"] for row in edits_of(tmp_path / "kfp")} == {"sdedit", "identity"}
    published = artifact(tmp_path, "publish", "summary").read_text("utf-8")
    assert "| half.tav_paper_v1.frame_consistency |" in published
    assert "no_tuning." not in published
    committed = commits(tmp_path / "kfp")

    code, said = pipeline(tmp_path, "m.yaml", "kfp", word)
    assert code == 0, said
    now = commits(tmp_path / "kfp")
    assert {key: now[key] for key in committed} == committed
    for table in TABLES:
        assert rows(tmp_path / "kfp", table) == rows(tmp_path / "plain", table), table
    assert len(edits_of(tmp_path / "kfp")) == len(VARIANTS) * len(edits)
    assert list(load_run(str(tmp_path / "kfp")).views) == list(VARIANTS)
    published = artifact(tmp_path, "publish", "summary").read_text("utf-8")
    for name in VARIANTS:
        assert f"| {name}.tav_paper_v1.frame_consistency |" in published
    page = artifact(tmp_path, "report", "gallery").read_text("utf-8")
    assert all(name in page for name in ("no_tuning", "half", "source"))
    states = [one["status"]["steps"]["sample"]["total"] for one in outcomes(tmp_path / "kfp")]
    assert states == [4, 6]


def edits_of(run: Path) -> list[dict[str, Any]]:
    return read_table(LocalStore(run), "edits")
