"""The trained scorer: its training learns, its folder loads, its scores mean what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from eval.clip_encoder import ClipEncoder
from eval.errors import EvalError
from tests.trained import few_steps
from tinyworld.draw import stills as drawn
from tinyworld.scenes import random_scene
from tinyworld.shipped import shipped_model
from tinyworld.train.clip import edit_accuracy, retrieval_accuracy

SHIPPED = shipped_model("clip")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training's folder after a few steps on a few stills."""
    return few_steps("clip", tmp_path_factory.mktemp("clip"))


def test_a_few_steps_lower_the_loss(trained: Path) -> None:
    lines = (trained / "losses.jsonl").read_text().splitlines()
    first, last = (json.loads(line)["loss"] for line in lines)
    assert last < 0.9 * first


def test_the_folder_loads_as_a_scorer_that_reads_plain_words(trained: Path) -> None:
    folder = trained / "weights/clip"
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}
    encoder = ClipEncoder(str(folder))
    assert encoder.context_length == 32
    frames = drawn([random_scene(np.random.default_rng(0)) for _ in range(3)])
    images = encoder.encode_frames(frames)
    assert images.dtype == np.float32
    assert np.allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)
    red, blue = (encoder.encode_text(f"a {color} fish over the sea") for color in ("red", "blue"))
    assert red @ blue < 0.999
    with pytest.raises(EvalError, match="reads 32: shorten"):
        encoder.encode_text("a fish " * 16)


def test_the_shipped_scorer_knows_combinations_that_no_training_saw() -> None:
    rng = np.random.default_rng(5)
    scenes = [random_scene(rng, held_out=True) for _ in range(100)]
    encoder = ClipEncoder(str(SHIPPED))
    assert retrieval_accuracy(encoder.encode_frames, encoder.encode_text, scenes) >= 90
    edits = edit_accuracy(encoder.encode_frames, encoder.encode_text, scenes)
    assert min(edits.values()) >= 80, edits
