"""Variants that tune more of the model, side by side in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos.plain import PlainRunner
from components.config import RunConfig, run_config
from components.plan.fit import problems
from components.plan.video import BaseConfigs, VideoCost
from components.run.estimate import plan_run
from components.storage.tables import read_table
from tests.runs import counts, tiny_document, write_manifest
from tests.runs import run_config as plain_config
from tests.sd14 import TEXT, UNET, VAE

SD14 = BaseConfigs(unet=UNET, vae=VAE, text=TEXT)


@pytest.fixture
def document(tmp_path: Path, tiny_models: Path, tiny_clips: Path) -> dict[str, Any]:
    document = tiny_document(tmp_path, tiny_models)
    edits = [{"id": "cartoon", "category": "style", "prompt": "{caption}, cartoon style"}]
    video = {"id": "fish", "uri": str(tiny_clips / "fish.mp4"), "prompt": "a fish", "edits": edits}
    write_manifest(document, [video, video | {"id": "again"}])
    names = {"full": None, "paper": "paper", "attention": "attention", "all": "all"}
    document["variants"] = {
        name: {"tune": {"parameters": value} if value else {}} for name, value in names.items()
    }
    return document


def test_they_run_beside_each_other_in_one_worker(document: dict[str, Any]) -> None:
    plan = plan_run(PlainRunner(run_config(document, "test")).state())
    peaks = [plan.variants[name].tune_bytes or 0 for name in ("full", "paper", "attention", "all")]
    assert peaks[0] == peaks[1] < peaks[2] < peaks[3]
    runner = PlainRunner(run_config(document, "test"))
    # Said or not, the paper's set is the same work.
    assert counts(runner.run()) == {"ingest": 2, "tune": 6, "sample": 6, "score": 6}
    assert not read_table(runner.store, "failures")
    adapters = read_table(runner.store, "adapters")
    assert len({row["num_params"] for row in adapters}) == 3
    # What was planned for them is what they hold.
    cost = {
        name: VideoCost(view.config, _base(runner, name), view.config.video)
        for name, view in runner.state().views.items()
    }
    planned = {one.unet.tuned for one in cost.values()}
    assert planned == {row["num_params"] for row in adapters}
    assert counts(PlainRunner(run_config(document, "test")).run()) == {}


def _base(runner: PlainRunner, name: str) -> BaseConfigs:
    from components.plan.video import base_configs

    view = runner.state().views[name]
    return base_configs(view.config.model, view.revisions.base)


def test_what_it_takes_of_stable_diffusion() -> None:
    """Everything is 909 million numbers, each with gradient and moments: 16 GB beside the clip."""

    def settings(parameters: str, **tune: Any) -> RunConfig:
        return plain_config(
            {
                "run": "r",
                "manifest": "m",
                "model": {"base": "b", "device": "cuda", "dtype": "bf16"},
                "video": {"num_frames": 32},
                "tune": {"parameters": parameters, **tune},
            }
        )

    paper, attention, full = (
        VideoCost(settings(name), SD14, settings(name).video)
        for name in ("paper", "attention", "all")
    )
    assert full.unet.tuned == full.unet.parameters
    assert paper.unet.parameters == full.unet.parameters
    assert full.adapter_bytes() / 1e9 == pytest.approx(3.7, rel=0.02)
    assert paper.train_flops < attention.train_flops < full.train_flops
    assert (full.tune_bytes() or 0) - (paper.tune_bytes() or 0) > 16e9
    (told,) = problems(settings("all"), SD14, settings("all").video, 20e9)
    assert "set tune.parameters=paper tune.gradient_checkpointing=true, or video" in told
    lean = settings("all", gradient_checkpointing=True)
    (told,) = problems(lean, SD14, lean.video, 20e9)
    assert "set tune.parameters=paper, or video" in told
