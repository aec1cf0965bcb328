"""The trained captioner: its training learns, its folder loads, its captions are right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from components.captioning.blip2 import Blip2Captioner
from components.config import CaptionConfig
from tests.trained import few_steps
from tinyworld.draw import stills as drawn
from tinyworld.measures import caption_accuracy, visible_scenes
from tinyworld.scenes import random_scene
from tinyworld.shipped import shipped_model
from tinyworld.train.blip2 import new_processor, training_batch

SHIPPED = shipped_model("blip2")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training's folder after a few steps on a few stills."""
    return few_steps("blip2", tmp_path_factory.mktemp("blip2"))


def test_a_few_steps_lower_the_loss_and_the_folder_loads_as_a_captioner(trained: Path) -> None:
    lines = (trained / "losses.jsonl").read_text().splitlines()
    first, last = (json.loads(line)["loss"] for line in lines)
    assert last < 0.8 * first
    folder = trained / "weights/blip2"
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}
    captioner = Blip2Captioner(CaptionConfig(model=str(folder)))
    assert {p.dtype for p in captioner.model.parameters()} == {torch.float32}
    frames = drawn([random_scene(np.random.default_rng(k)) for k in range(2)])
    for caption in captioner(list(frames)):
        # The grammar is learned long before the images are; the newline ends it.
        assert caption.startswith(("a ", "an "))
        assert " over the " in caption
        assert len(caption.split()) <= 15


def test_it_trains_on_what_the_captioner_gives_it() -> None:
    processor = new_processor()
    frames = drawn([random_scene(np.random.default_rng(k)) for k in range(2)])
    x = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    captions = ["a red fish and a pink car over the sea, cartoon style", "a blue car over the road"]
    batch = training_batch(processor, x, captions)
    images = [Image.fromarray(frame) for frame in frames]
    asked = processor(images=images, text=["", ""], return_tensors="pt")
    assert torch.allclose(batch["pixel_values"], asked["pixel_values"], atol=1e-5)
    length = asked["input_ids"].shape[1]
    assert torch.equal(batch["input_ids"][:, :length], asked["input_ids"])
    assert (batch["labels"][:, :length] == -100).all()
    for row, caption in zip(batch["labels"], captions, strict=True):
        assert processor.tokenizer.decode(row[row != -100]) == f" {caption}\n"


@pytest.mark.parametrize("things", [1, 2])
def test_the_shipped_captioner_names_combinations_that_no_training_saw(things: int) -> None:
    scenes = visible_scenes(100, seed=5, things=things)
    captioner = Blip2Captioner(CaptionConfig(model=str(SHIPPED)))
    right = caption_accuracy(captioner, scenes)
    assert right["things"] >= 75, right
    assert min(right["background"], right["style"]) >= 90, right
