"""A smoke training: the command's own parts, small, twice over."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tav_model.config import ModelConfig
from tav_model.load import load_base
from tinyworld.draw import render_at
from tinyworld.layout import file_digests
from tinyworld.scenes import ATTRIBUTES, random_scene
from tinyworld.train.data import Stills, stills
from tinyworld.train.parts import train_part
from tinyworld.train.record import ship
from tinyworld.train.vae import new_vae, pixels


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Stills:
    return stills(tmp_path_factory.mktemp("stills"), 96, seed=7)


def train(data: Stills, out: Path, steps: int = 4) -> Path:
    out.mkdir(exist_ok=True)
    for part in ("vae", "diffusion"):
        train_part(part, data, {"steps": steps, "batch": 4}, out, torch.device("cpu"))
    return out


def test_stills_are_drawn_once_and_hold_their_words(tmp_path: Path) -> None:
    first, again = (stills(tmp_path, 20, seed=3) for _ in range(2))
    assert np.array_equal(first.pixels, again.pixels)
    rng = np.random.default_rng([3, 0])
    for index in range(20):
        scene = random_scene(rng)
        drawn = render_at(scene, np.array([rng.uniform()]))
        assert np.array_equal(first.pixels[index], drawn.frames[0])
        assert first.scene(index).attributes == scene.attributes
        words = [ATTRIBUTES[name][k] for name, k in zip(ATTRIBUTES, first.classes[index])]  # noqa: B905
        assert words == list(scene.attributes.values())
        assert not scene.held_out


def test_equal_seeds_train_equal_models_that_load_as_a_base_model(
    data: Stills, tmp_path: Path
) -> None:
    one, two = (train(data, tmp_path / name) for name in ("one", "two"))
    digests = file_digests(one / "weights")
    assert digests == file_digests(two / "weights")
    assert {Path(name).suffix for name in digests} == {".json", ".safetensors"}

    base = load_base(ModelConfig(base=str(one / "weights/base")))
    assert base.tokenizer.model_max_length == 32
    latents = torch.randn(1, 4, 2, 16, 16)
    with torch.no_grad():
        out = base.unet(latents, 500, torch.randn(1, 32, 96))
    assert out.shape == latents.shape


def test_the_manifest_says_how_each_model_was_made(data: Stills, tmp_path: Path) -> None:
    out = train(data, tmp_path / "out", steps=2)
    manifest = ship(out, tmp_path / "weights")
    assert manifest["files"] == file_digests(tmp_path / "weights")
    record = manifest["parts"]["diffusion"]
    assert record["steps_done"] == record["settings"]["steps"] == 2
    assert {"command", "code", "date", "device", "versions"} <= set(record)
    assert json.loads((tmp_path / "weights/manifest.json").read_text()) == manifest


def test_the_autoencoder_learns(data: Stills, tmp_path: Path) -> None:
    device = torch.device("cpu")
    x = pixels(data, torch.arange(32), device)
    errors = []
    for steps in (1, 40):
        out = tmp_path / str(steps)
        out.mkdir()
        changes = {"steps": steps, "batch": 8, "warmup": 5}
        train_part("vae", data, changes, out, device)
        vae = new_vae().from_pretrained(out / "weights/base/vae", torch_dtype=torch.float32)
        with torch.no_grad():
            errors.append(float(((vae(x).sample - x) ** 2).mean()))
    assert errors[1] < 0.5 * errors[0]
