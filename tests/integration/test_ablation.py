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
COMPARISON = ROOT / "manifests/runs/comparison.yaml"
VARIANTS = ("full", "no_st_attn", "no_inversion", "no_tuning", "tune_attention", "tune_all")


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
    python(tmp_path, "tinyworld.clips", "runs/comparison-clips", "--random", "2")
    quick = ("tune.steps=1", "invert.steps=1", "sample.steps=1", "ray.workers=1")
    judged = ("score.protocols=[tav_paper_v1,tinyworld_v2]",)
    chosen = [word for name in VARIANTS for word in ("--variant", name)]
    run = ("components.cli", "run", "--config", str(COMPARISON), *chosen, *quick, *judged)
    python(tmp_path, *run)
    compare = ("components.cli", "compare", "runs/comparison")
    python(tmp_path, *compare, "--to", "ablation.png")
    assert (tmp_path / "ablation.png").stat().st_size > 10_000
    found = json.loads(python(tmp_path, *compare, "--json"))
    assert {one["variant"]: one["against"] for one in found["variants"]} == {
        "full": None,
        **dict.fromkeys(VARIANTS[1:], "full"),
    }
    # What a picture shows after one step may be no thing at all, of which the truth says nothing.
    edits = {
        (cell["variant"], cell["measure"]): cell["edits"]
        for cell in found["cells"]
        if cell["protocol"] == "tav_paper_v1" and cell["category"] is None
    }
    measures = ("frame_consistency", "textual_alignment")
    assert edits == {(variant, measure): 6 for variant in VARIANTS for measure in measures}
    assert python(tmp_path, *compare, "--variant", "no_tuning").count("no_inversion") == 0
    # Full and no_inversion shared their tuning, no_tuning has none: four adapters for each clip.
    assert len(list((tmp_path / "runs/comparison/adapters").glob("*.safetensors"))) == 4 * 2
