"""The trained scorer: its training learns, its folder loads, its scores mean what they say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval.clip_encoder import ClipEncoder
from eval.errors import EvalError
from tests.trained import few_steps
from tinyworld.draw import stills as drawn
from tinyworld.measures import (
    binding_accuracy,
    edit_accuracy,
    retrieval_accuracy,
    visible_scenes,
)
from tinyworld.scenes import Scene, Thing, random_scene, read_caption
from tinyworld.shipped import shipped_model
from tinyworld.train.clip import _WRONG, _captions, _equal

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


def test_each_still_is_told_from_captions_that_are_nearly_right() -> None:
    scenes = [random_scene(np.random.default_rng(k)) for k in range(20)]
    everything, texts = _captions(scenes, np.random.default_rng(1))
    assert len(everything) == len(texts) == (2 + _WRONG) * len(scenes)
    assert everything[: len(scenes)] == scenes
    for scene, text in zip(everything, texts, strict=True):
        assert set(read_caption(text).things) == set(scene.words.things)
    for first in range(len(scenes), len(everything), len(scenes)):
        for scene, wrong in zip(scenes, everything[first:], strict=False):
            assert wrong.words != scene.words


def test_stills_of_equal_words_are_no_mistake_of_each_other() -> None:
    one = Scene(
        things=(Thing(color="red", shape="fish"), Thing(color="blue", shape="car")),
        background="sea",
        camera="panning left",
    )
    turned = replace(one, things=one.things[::-1], seed=9, camera="still")
    confused = replace(
        one,
        things=tuple(
            replace(thing, color=other.color)
            for thing, other in zip(one.things, one.things[::-1], strict=True)
        ),
    )
    scenes = [one, turned, confused, replace(one, style="mosaic"), replace(one, style="sketch")]
    expected = np.eye(5, dtype=bool)
    expected[0, 1] = expected[1, 0] = True
    assert np.array_equal(_equal(scenes, 5).numpy(), expected)
    assert np.array_equal(_equal(scenes, 2).numpy(), expected[:2])


# --- the one that comes with the package ---------------------------------------------------------


@pytest.fixture(scope="module")
def shipped() -> ClipEncoder:
    return ClipEncoder(str(SHIPPED))


@pytest.mark.parametrize("things", [1, 2])
def test_the_shipped_scorer_knows_combinations_that_no_training_saw(
    shipped: ClipEncoder, things: int
) -> None:
    encoders = shipped.encode_frames, shipped.encode_text
    scenes = visible_scenes(100, seed=5, things=things)
    assert retrieval_accuracy(*encoders, scenes) >= 85
    edits = edit_accuracy(*encoders, scenes)
    # Two small shapes are what it knows worst: see tinyworld/README.md.
    least = {"shape": 70 if things == 1 else 40}
    assert all(right >= least.get(name, 80) for name, right in edits.items()), edits


def test_the_shipped_scorer_knows_which_thing_has_which_colour(shipped: ClipEncoder) -> None:
    scenes = visible_scenes(100, seed=6, things=2)
    assert binding_accuracy(shipped.encode_frames, shipped.encode_text, scenes) >= 75
