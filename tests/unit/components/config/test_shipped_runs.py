"""The run configurations that come with the project."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from components.config import load_run_config, run_config, variant_configs

RUNS = Path(__file__).parents[4] / "manifests/runs"


@pytest.mark.parametrize("path", sorted(RUNS.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_is_read_and_each_of_its_variants_makes_sense(path: Path) -> None:
    assert variant_configs(load_run_config(path, ()), run_config)


def test_the_ablation_leaves_out_one_part_at_a_time_of_what_tinyworld_asks_for() -> None:
    tinyworld = load_run_config(RUNS / "tinyworld.yaml", ())
    ablation = load_run_config(RUNS / "ablation.yaml", ())
    found = variant_configs(ablation, run_config)
    own: dict[str, Any] = {"run": ablation.run, "manifest": ablation.manifest}
    assert found == {
        "full": dataclasses.replace(tinyworld, **own),
        "no_st_attn": dataclasses.replace(
            tinyworld,
            **own,
            model=dataclasses.replace(tinyworld.model, attention_mode="per_frame"),
        ),
        "no_inversion": dataclasses.replace(
            tinyworld, **own, sample=dataclasses.replace(tinyworld.sample, start="noise")
        ),
        "no_tuning": dataclasses.replace(
            tinyworld, **own, tune=dataclasses.replace(tinyworld.tune, steps=0)
        ),
    }
    assert next(iter(found)) == "full"
