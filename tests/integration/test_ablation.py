"""The ablation's command, from drawn clips to tables and a picture, as little work as can be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.ablation import __main__ as ablation
from eval.measures import MEASURES

DEMO = Path(__file__).resolve().parents[2] / "manifests/runs/demo.yaml"


def test_two_variants_are_run_scored_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = {name: ablation.VARIANTS[name] for name in ("full", "w/o inversion")}
    monkeypatch.setattr(ablation, "VARIANTS", two)
    quick = ["tune.steps=1", "invert.steps=1", "sample.steps=1"]
    ablation.main(["--out", str(tmp_path), "--config", str(DEMO), "--clips", "2", *quick])
    found = json.loads((tmp_path / "results.json").read_text())
    assert (found["clips"], found["overrides"]) == (2, quick)
    assert set(found["means"]) == set(two)
    assert set(found["differences"]) == {"w/o inversion"}
    for variant in two:
        for name in MEASURES:
            scored = found["means"][variant][name]
            # A picture after one step may show no object, which then has no unsteadiness.
            assert name == "jitter" or scored["edits"] == 6
    # The tuning was shared: one adapter for each clip.
    adapters = list((tmp_path / "run/adapters").glob("*.safetensors"))
    assert len(adapters) == 2
    assert "| w/o inversion |" in (tmp_path / "results.md").read_text()
    assert (tmp_path / "results.png").stat().st_size > 10_000
