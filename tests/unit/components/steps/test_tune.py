"""The tuning of one video, in this process and without Ray."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from components.config import RunConfig, VideoConfig, parse
from components.run.clips import clip_reference
from components.steps.ingest import IngestItem, IngestWorker
from components.steps.preparation import PrepareItem
from components.steps.prepare import PrepareWorker
from components.steps.step import StepContext
from components.storage.tables import read_table
from components.video.sources import stat_source
from methods.tune_a_video import psnr
from tav_model.config import ModelConfig, TuneConfig
from tav_model.load import load_base


def test_psnr() -> None:
    black = np.zeros((2, 4, 4, 3), np.uint8)
    assert psnr(black, black) == math.inf
    assert math.isclose(psnr(black, black + 255), 0, abs_tol=1e-9)
    assert math.isclose(psnr(black, black + 1), 20 * math.log10(255))


def tune_context(root: Path, models: Path, *, steps: int) -> StepContext:
    document = {
        "run": str(root),
        "manifest": "m",
        "model": {"base": str(models / "base")},
        "video": {"num_frames": 4, "width": 64, "height": 64},
        "tune": {"steps": steps, "checkpoint_every": 1},
        "invert": {"steps": 2},
        "sample": {"steps": 2},
    }
    config = parse(RunConfig, document, "test")
    return StepContext(config=config, config_hash="h", base_revision="r")


def tune_once(
    root: Path, models: Path, clip: Path, *, checkpoint: bytes | None = None, steps: int = 3
) -> Path:
    """Ingest and tune one clip; return the adapter's file."""
    context = tune_context(root, models, steps=steps)
    config = context.config
    video = {"num_frames": 4, "width": 64, "height": 64}
    assert config.video == VideoConfig(**video)  # type: ignore[arg-type]
    assert isinstance(config.tune, TuneConfig)
    source = IngestItem(
        item_key="i",
        video_id="v",
        uri=str(clip),
        source_version=stat_source(str(clip)).version,
        video=video,
        attempt=1,
    )
    (outcome,) = IngestWorker(context)([source])
    assert outcome.error is None
    store = context.store()
    (row,) = read_table(store, "videos")
    if checkpoint is not None:
        store.write_bytes("checkpoints/k.safetensors", checkpoint)
    item = PrepareItem(
        item_key="k",
        video_id="v",
        video_row=clip_reference(row),
        variant="tune_a_video",
        source_prompt="a red fish",
        seed_key="k",
        wanted=[
            {"kind": "adapter", "key": "k", "name": "", "before": None, "work_key": "k"},
            {"kind": "latents", "key": "k", "name": "ddim-2", "before": "k", "work_key": "i"},
        ],
        made=[],
        long=True,
        attempt=1,
    )
    (tuned,) = PrepareWorker(context)([item])
    assert tuned.error is None
    assert store.stat("checkpoints/k.safetensors") is None
    (adapter,) = read_table(store, "adapters")
    (latents,) = read_table(store, "latents")
    assert adapter["num_params"] > 0
    assert adapter["steps"] == steps
    assert (adapter["final_loss"] is None) == (steps == 0)
    assert latents["latents_shape"] == [4, 4, 8, 8]
    assert np.isfinite(np.array(latents["latents"], np.float32)).all()
    assert 0 < latents["reconstruction_psnr"] < math.inf
    return root / str(adapter["uri"])


def test_a_damaged_checkpoint_costs_time_and_nothing_else(
    tmp_path: Path, tiny_models: Path, tiny_clips: Path
) -> None:
    clip = tiny_clips / "fish.mp4"
    fresh = load_file(tune_once(tmp_path / "a", tiny_models, clip))
    again = load_file(tune_once(tmp_path / "b", tiny_models, clip, checkpoint=b"torn"))
    assert fresh.keys() == again.keys()
    assert all(torch.equal(fresh[name], again[name]) for name in fresh)


def test_without_steps_the_adapter_is_the_initial_one(
    tmp_path: Path, tiny_models: Path, tiny_clips: Path
) -> None:
    clip = tiny_clips / "fish.mp4"
    untuned = load_file(tune_once(tmp_path / "a", tiny_models, clip, steps=0))
    tuned = load_file(tune_once(tmp_path / "b", tiny_models, clip))
    initial = load_base(ModelConfig(base=str(tiny_models / "base"))).initial
    assert untuned.keys() == initial.keys()
    assert all(torch.equal(untuned[name], initial[name]) for name in untuned)
    assert not all(torch.equal(tuned[name], initial[name]) for name in tuned)
