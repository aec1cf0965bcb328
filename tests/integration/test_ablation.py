"""The paper's ablation from drawn clips to a comparison, as little work as can be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.soak

ROOT = Path(__file__).resolve().parents[2]
ABLATION = ROOT / "manifests/runs/ablation.yaml"


def python(folder: Path, *words: str) -> str:
    """A module of this checkout, run in a folder; what it printed."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def test_six_variants_are_run_scored_and_compared(tmp_path: Path) -> None:
    python(tmp_path, "tinyworld.clips", "runs/ablation-clips", "--random", "2")
    quick = ("tune.steps=1", "invert.steps=1", "sample.steps=1", "ray.workers=1")
    run = ("components.cli", "run", "--config", str(ABLATION), *quick)
    python(tmp_path, *run)
    compare = ("components.cli", "compare", "runs/ablation")
    python(tmp_path, *compare, "--to", "ablation.png")
    assert (tmp_path / "ablation.png").stat().st_size > 10_000
    found = json.loads(python(tmp_path, *compare, "--json"))
    others = ("no_st_attn", "no_inversion", "no_tuning", "tune_attention", "tune_all")
    assert {one["variant"]: one["against"] for one in found["variants"]} == {
        "full": None,
        **dict.fromkeys(others, "full"),
    }
    for cell in found["cells"]:
        if cell["category"] is None:
            # A picture after one step may show no object, which then has no unsteadiness.
            assert cell["measure"] == "jitter" or cell["edits"] == 6
    assert python(tmp_path, *compare, "--variant", "no_tuning").count("no_inversion") == 0
    # Full and no_inversion shared their tuning, no_tuning has none: four adapters for each clip.
    assert len(list((tmp_path / "runs/ablation/adapters").glob("*.safetensors"))) == 4 * 2
