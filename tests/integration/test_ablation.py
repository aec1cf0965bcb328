"""The ablation's command, from drawn clips to tables and a picture, as little work as can be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.ablation.__main__ import main
from eval.measures import MEASURES

pytestmark = pytest.mark.soak

DEMO = Path(__file__).resolve().parents[2] / "manifests/runs/demo.yaml"


def test_two_variants_are_run_scored_and_compared(tmp_path: Path) -> None:
    quick = ["tune.steps=1", "invert.steps=1", "sample.steps=1"]
    out = ["--out", str(tmp_path), "--config", str(DEMO)]
    main([*out, "--clips", "2", "--without", "inversion", *quick])
    found = json.loads((tmp_path / "results.json").read_text())
    assert (found["clips"], found["overrides"]) == (2, quick)
    assert set(found["means"]) == {"full", "w/o inversion"}
    assert set(found["differences"]) == {"w/o inversion"}
    for means in found["means"].values():
        for name in MEASURES:
            # A picture after one step may show no object, which then has no unsteadiness.
            assert name == "jitter" or means[name]["edits"] == 6
    # The tuning was shared: one adapter for each clip.
    assert len(list((tmp_path / "run/adapters").glob("*.safetensors"))) == 2
    assert "| w/o inversion |" in (tmp_path / "results.md").read_text()
    assert (tmp_path / "results.png").stat().st_size > 10_000
