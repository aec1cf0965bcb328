"""The report of what cheaper settings cost, of a run with tiny models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from benchmarks.chaos.plain import PlainRunner
from benchmarks.quality import Question, profile, report, stop
from components.config import run_config, variant_configs
from components.steps.methods import make_method
from tests.runs import tiny_document, tiny_videos, write_manifest


def test_cost_nearness_and_every_measure_of_each_variant(
    tmp_path: Path, tiny_models: Path, tiny_clips: Path
) -> None:
    document = tiny_document(tmp_path, tiny_models)
    video = tiny_videos(tiny_clips)[0]
    write_manifest(document, [video | {"edits": video["edits"][:1]}])
    forms = {form: {"adapter": {"encoding": form}} for form in ("fp32", "sign")}
    document |= {"variants": forms, "output": {"frames": True}}
    PlainRunner(run_config(document, "test")).run()
    text = report(Path(document["run"]), Question(variants=forms, cost="MB at SD 1.4"))
    assert re.search(r"\| fp32 \| 297\.\d \|  \|  \| 1 \|", text), text
    assert re.search(r"\| sign \| 9\.6 \| \d+\.\d \| \d+\.\d \| 1 \|", text), text
    assert "| difference | tav_paper_v1.frame_consistency |" in text
    assert re.search(r"\| sign \| [+-]\d+\.\d{3} ", text), text
    plain: dict[str, dict[str, Any]] = {form: {} for form in forms}
    steps = report(Path(document["run"]), Question(variants=plain, cost="steps, mean"))
    assert re.search(r"\| sign \| 2 \(2 to 2\) \|", steps), steps
    sampled: dict[str, dict[str, Any]] = {form: {"sample": {}} for form in forms}
    calls = report(Path(document["run"]), Question(variants=sampled, cost="UNet evaluations"))
    steps, inverted = document["sample"]["steps"], document["invert"]["steps"]
    assert f"| sign | {2 * inverted} + {2 * steps} |" in calls, calls


def test_the_fast_profile_is_compared_with_the_papers_steps_part_by_part(tmp_path: Path) -> None:
    document = {
        "run": str(tmp_path),
        "manifest": "m",
        "model": {"base": "tinyworld"},
        "variants": profile().variants,
    }
    config = run_config(document, "test")
    calls = {}
    for name, one in variant_configs(config, run_config).items():
        cost = make_method(one).cost()
        assert cost is not None
        calls[name] = (cost.stages["latents"].inversion, cost.edit.guided)
    assert calls == {
        "paper": (100, 100),
        "ddim_20": (40, 40),
        "dpmpp_20": (40, 40),
        "fast": (40, 36),
    }


def test_early_stops_are_compared_with_all_steps() -> None:
    first, *others = stop().variants.items()
    assert first == ("all", {})
    assert all(one["tune"]["stop"] for _, one in others)
