"""A tuned clip's edits show what their prompts ask for and move as their source does.

The trained tiny world, drawn clips, the demo's settings, tav_model alone; the truth is known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from components.config import RunConfig, load_run_config
from eval.ground_truth import ground_truth
from tav_model.load import BaseModel, load_base
from tinyworld.clips import CLIPS
from tinyworld.draw import render
from tinyworld.edits import replaced
from tinyworld.matching import matched
from tinyworld.reader import Reader, Reading
from tinyworld.scenes import OF_THE_FRAME, Scene

DEMO = Path(__file__).resolve().parents[2] / "manifests/runs/demo.yaml"
FISH, PAIR = CLIPS["fish"], CLIPS["pair"]
EDITS = {
    "color": replaced(FISH, 0, "color", "blue"),
    "background": replaced(FISH, 0, "background", "sand"),
    "style": replaced(FISH, 0, "style", "cartoon"),
}


@dataclass(frozen=True, slots=True)
class Tuned:
    """The base model, tuned on a clip."""

    source: Scene
    base: BaseModel
    start: torch.Tensor
    """The clip's inverted latents."""
    reading: Reading
    """What the clip shows, by the reader of its edits."""

    def edited(self, config: RunConfig, prompts: list[str]) -> list[Reading]:
        """What edits show."""
        from tav_model.sample import sample
        from tav_model.vae import decode

        reader = Reader.load()
        found = sample(self.base, self.start, prompts, config.sample)
        return [reader.read(decode(self.base, latents)) for latents in found]

    def scores(self, config: RunConfig, scenes: Mapping[str, Scene]) -> dict[str, dict[str, float]]:
        """Of edits by name, the scores that have a meaning."""
        prompts = [scene.caption() for scene in scenes.values()]
        read = self.edited(config, prompts)
        return {
            name: {
                score: value
                for score, value in ground_truth(
                    edit, self.reading, self.source.caption(), prompt
                ).items()
                if value is not None
            }
            for name, edit, prompt in zip(scenes, read, prompts, strict=True)
        }


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return load_run_config(DEMO)


def tuned(source: Scene, config: RunConfig) -> Tuned:
    from tav_model.frames import to_model_range
    from tav_model.invert import invert
    from tav_model.tune import tune
    from tav_model.vae import encode_moments, mean_latents

    base = load_base(config.model)
    frames = render(source, config.video.num_frames).frames
    moments = encode_moments(base, to_model_range(frames))
    tune(base, moments, source.caption(), config.tune, seed=1)
    start = invert(base, mean_latents(moments), config.invert)
    return Tuned(source, base, start, Reader.load().read(frames))


@pytest.fixture(scope="module")
def fish(config: RunConfig) -> Tuned:
    return tuned(FISH, config)


def test_edits_show_what_was_asked_on_the_source_s_track(fish: Tuned, config: RunConfig) -> None:
    for name, scores in fish.scores(config, EDITS).items():
        assert scores["edited_right"] >= 75, (name, scores)
        assert scores["unedited_kept"] >= 75, (name, scores)
        assert scores["motion_correlation"] >= 0.7, (name, scores)
        assert scores["identity_kept"] >= 45, (name, scores)
        assert scores["identity_drift"] <= 25, (name, scores)


def test_without_guidance_the_source_s_prompt_gives_the_source_back(
    fish: Tuned, config: RunConfig
) -> None:
    plain = dataclasses.replace(
        config, sample=dataclasses.replace(config.sample, guidance_scale=1.0)
    )
    (edit,) = fish.edited(plain, [FISH.caption()])
    ((color, shape),) = FISH.words.things
    edit = matched(edit, FISH.words.things)
    assert (edit.color == color).sum() >= 7, edit
    assert (edit.shape == shape).sum() >= 7, edit
    for name in OF_THE_FRAME:
        assert (getattr(edit, name) == getattr(FISH, name)).sum() >= 7, (name, edit)
    there = matched(fish.reading, FISH.words.things).centers
    assert np.abs(edit.centers - there).mean() < 8  # pixels of 64


def test_one_of_two_things_is_edited_and_the_other_stays(config: RunConfig) -> None:
    edited = {"boat": replaced(PAIR, 1, "color", "yellow")}
    (scores,) = tuned(PAIR, config).scores(config, edited).values()
    assert scores["edited_right"] >= 50, scores
    assert scores["unedited_kept"] >= 70, scores
    assert scores["wrong_object_changed"] <= 50, scores
