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

from components.results.export import COLUMNS
from components.storage.schemas import KEYS
from components.storage.store import LocalStore
from components.storage.tables import read_table
from eval.measures import MEASURES

pytestmark = pytest.mark.soak

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "manifests/runs/demo.yaml"
QUICK = ("tune.steps=2", "invert.steps=2", "sample.steps=2")
TABLES = ("videos", "captions", "adapters", "latents", "edits", "scores")


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


def rows(run: Path, table: str) -> dict[tuple[Any, ...], Any]:
    """A table's rows by key: the scores that they hold, or their objects' digests."""
    names = (*MEASURES, "sha256", "caption", "final_loss")
    return {
        tuple(row[key] for key in KEYS[table]): [row.get(name) for name in names]
        for row in read_table(LocalStore(run), table)
    }


def artifact(folder: Path, task: str, name: str) -> Path:
    """What the last execution's task put out."""
    *_, last = sorted(folder.glob(f"*/{task}/{name}"), key=lambda path: path.stat().st_mtime)
    return last


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, demo_manifest: Path) -> Path:
    """A folder with the demo's run made by `tav run`."""
    folder = tmp_path_factory.mktemp("pipeline")
    words = ("run", "--config", str(DEMO), f"manifest={demo_manifest}", f"run={folder / 'plain'}")
    done = tav(*words, *QUICK, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def pipeline(folder: Path, manifest: Path, run: str, *words: str) -> Any:
    return tav(
        "pipeline",
        "run",
        *("--config", str(DEMO), "--artifacts", str(folder / "artifacts")),
        *(f"manifest={manifest}", f"run={folder / run}", *QUICK, *words),
        cwd=folder,
    )


def test_it_makes_what_tav_run_makes_and_records_how_it_ended(
    demo: Path, demo_manifest: Path
) -> None:
    broken = pipeline(demo, demo_manifest, "kfp", "--param", "gpus=many")
    assert broken.returncode != 0
    assert "gpus is 'many'" in broken.stdout + broken.stderr
    assert [one["state"] for one in outcomes(demo / "kfp")] == ["FAILED"]

    done = pipeline(demo, demo_manifest, "kfp")
    assert done.returncode == 0, done.stdout + done.stderr
    for table in TABLES:
        assert rows(demo / "kfp", table) == rows(demo / "plain", table), table
        assert rows(demo / "kfp", table)
    assert [one["state"] for one in outcomes(demo / "kfp")] == ["FAILED", "SUCCEEDED"]
    published = pq.read_table(artifact(demo / "artifacts", "publish", "scores"))
    assert tuple(published.column_names) == COLUMNS
    assert published.num_rows == 24
    assert "tinyworld_v1.edited_right" in artifact(
        demo / "artifacts", "publish", "summary"
    ).read_text("utf-8")
    page = artifact(demo / "artifacts", "report", "gallery").read_text("utf-8")
    assert page.count("data:video/mp4;base64,") >= 16
    assert (demo / "kfp/report/index.html").exists()


def test_a_benchmark_is_compared_with_its_baseline(demo: Path, demo_manifest: Path) -> None:
    bound = ("--bound", "tav_paper_v1.frame_consistency=0.01", "--baseline", str(demo / "plain"))
    words = ("--pipeline", "reevaluate", *bound, "--param", "evaluation=again")
    same = pipeline(demo, demo_manifest, "bench", *words)
    assert same.returncode == 0, same.stdout + same.stderr
    assert rows(demo / "bench/again", "scores") == rows(demo / "plain", "scores")
    summary = artifact(demo / "artifacts", "compare", "summary").read_text("utf-8")
    assert "No regression" in summary


def outcomes(run: Path) -> list[dict[str, Any]]:
    """What the exit task recorded, oldest first."""
    found = [json.loads(path.read_text()) for path in (run / "outcomes").iterdir()]
    return sorted(found, key=lambda one: str(one["at"]))


@pytest.fixture(scope="module")
def demo_manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's manifest, beside clips drawn for it."""
    from tinyworld.clips import write_clips

    folder = tmp_path_factory.mktemp("demo")
    write_clips(folder / "clips")
    document = yaml.safe_load((ROOT / "manifests/datasets/demo.yaml").read_text())
    for video in document["videos"]:
        video["uri"] = f"clips/{Path(video['uri']).name}"
    path = folder / "demo.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path
