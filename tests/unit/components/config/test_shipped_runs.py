"""The run configurations that come with the project."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

import pytest

from components.config import load_run_config, run_config, variant_configs

ROOT = Path(__file__).parents[4]
RUNS = ROOT / "manifests/runs"
OWN = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "entry-points"
]["tav.methods"]
"""This project's methods."""


@pytest.mark.parametrize("path", sorted(RUNS.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_is_read_and_each_of_its_variants_makes_sense(path: Path) -> None:
    assert variant_configs(load_run_config(path, ()), run_config)


def test_one_has_a_variant_of_every_method_at_a_size_that_all_take() -> None:
    config = load_run_config(RUNS / "methods.yaml", ())
    found = variant_configs(config, run_config)
    assert {one.method for one in found.values()} == set(OWN)
    for name, one in found.items():
        assert name == one.method
        assert one.own.keys() <= {name}
    video = config.video
    assert video.num_frames % 8 == 1
    assert video.num_frames <= 32
    assert video.width % 32 == video.height % 32 == 0


def test_the_ablation_changes_one_thing_at_a_time_of_what_tinyworld_asks_for() -> None:
    tinyworld = load_run_config(RUNS / "tinyworld.yaml", ())
    comparison = load_run_config(RUNS / "comparison.yaml", ())
    found = variant_configs(comparison, run_config)
    assert next(iter(found)) == "full"
    own: dict[str, Any] = {
        "run": comparison.run,
        "manifest": comparison.manifest,
        "score": comparison.score,
    }
    expected = {
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
        "tune_attention": dataclasses.replace(
            tinyworld, **own, tune=dataclasses.replace(tinyworld.tune, parameters="attention")
        ),
        "tune_all": dataclasses.replace(
            tinyworld, **own, tune=dataclasses.replace(tinyworld.tune, parameters="all")
        ),
    }
    assert {name: found[name] for name in expected} == expected
    pairs = {"no_tuning": {"tune"}, "no_inversion": {"sample"}}
    for name, changed in pairs.items():
        both = found[f"{name}_no_st_attn"]
        assert both.model == found["no_st_attn"].model
        assert {one: getattr(both, one) for one in changed} == {
            one: getattr(found[name], one) for one in changed
        }
