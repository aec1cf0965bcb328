"""A tuned clip's edits show what their prompts ask for and move as their source does.

The trained tiny world, drawn clips, the demo's settings, tav_model alone; the truth is known.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from components.config import RunConfig, load_run_config
from eval.ground_truth import ground_truth
from tav_model.load import BaseModel, load_base
from tinyworld.clips import CLIPS
from tinyworld.draw import render
from tinyworld.reader import Reader, Reading

DEMO = Path(__file__).resolve().parents[2] / "manifests/runs/demo.yaml"
SOURCE = CLIPS["fish"]
EDITS = {
    "color": dataclasses.replace(SOURCE, color="blue"),
    "background": dataclasses.replace(SOURCE, background="sand"),
    "style": dataclasses.replace(SOURCE, style="cartoon"),
}


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return load_run_config(DEMO)


@pytest.fixture(scope="module")
def tuned(config: RunConfig) -> tuple[BaseModel, torch.Tensor]:
    """The base model, tuned on the source, and the source's inverted latents."""
    from tav_model.frames import to_model_range
    from tav_model.invert import invert
    from tav_model.tune import tune
    from tav_model.vae import encode_moments, mean_latents

    base = load_base(config.model)
    clip = render(SOURCE, config.video.num_frames)
    moments = encode_moments(base, to_model_range(clip.frames))
    tune(base, moments, SOURCE.caption(), config.tune, seed=1)
    return base, invert(base, mean_latents(moments), config.invert)


def readings(
    tuned: tuple[BaseModel, torch.Tensor], config: RunConfig, prompts: list[str]
) -> list[Reading]:
    from tav_model.sample import sample
    from tav_model.vae import decode

    base, start = tuned
    reader = Reader.load()
    return [reader.read(decode(base, x)) for x in sample(base, start, prompts, config.sample)]


def test_edits_show_what_was_asked_on_the_source_s_track(
    tuned: tuple[BaseModel, torch.Tensor], config: RunConfig
) -> None:
    source = Reader.load().read(render(SOURCE, config.video.num_frames).frames)
    prompts = {name: scene.caption() for name, scene in EDITS.items()}
    found = readings(tuned, config, list(prompts.values()))
    for (name, prompt), edit in zip(prompts.items(), found, strict=True):
        scores = ground_truth(edit, source, SOURCE.caption(), prompt)
        assert scores["edited_right"] is not None
        assert scores["edited_right"] >= 75, (name, edit)
        assert scores["unedited_kept"] is not None
        assert scores["unedited_kept"] >= 75, (name, edit)
        assert scores["motion_correlation"] is not None
        assert scores["motion_correlation"] >= 0.7, (name, edit)
    (blue, *_) = found
    assert blue.attributes["color"].count("blue") >= 6
    assert np.abs(blue.centers - source.centers).mean() < 8  # pixels of 64


def test_without_guidance_the_source_s_prompt_gives_the_source_back(
    tuned: tuple[BaseModel, torch.Tensor], config: RunConfig
) -> None:
    plain = dataclasses.replace(
        config, sample=dataclasses.replace(config.sample, guidance_scale=1.0)
    )
    (edit,) = readings(tuned, plain, [SOURCE.caption()])
    for name, word in SOURCE.attributes.items():
        assert edit.attributes[name].count(word) >= 7, (name, edit)
