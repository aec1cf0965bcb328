"""Smoke trainings: the command and its parts, small; and what is noted of them."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tav_model.config import ModelConfig
from tav_model.load import load_base
from tinyworld.layout import file_digests
from tinyworld.shipped import NETS
from tinyworld.train.__main__ import PARTS
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


def command(module: str, *words: str) -> str:
    """What a program of tinyworld prints, on one thread and without a network."""
    done = subprocess.run(
        [sys.executable, "-m", f"tinyworld.{module}", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_trains_every_part_and_what_it_trained_can_be_measured(tmp_path: Path) -> None:
    out = tmp_path / "out"
    few = ("--stills", "64", "--steps", "3", "--batch", "8", "--threads", "1")
    command("train", "--out", str(out), *few)
    weights = out / "weights"
    assert {path.name for path in weights.iterdir()} == {
        *("base", "reader", "clip", "blip2"),
        *NETS,
    }
    assert {path.suffix for path in weights.rglob("*") if path.is_file()} <= {
        ".json",
        ".safetensors",
    }
    records = {path.name: json.loads(path.read_text()) for path in out.glob("*.record.json")}
    assert records.keys() == {f"{part}.record.json" for part in PARTS}
    assert all(record["steps_done"] == 3 for record in records.values())
    logged = [json.loads(line) for line in (out / "losses.jsonl").read_text().splitlines()]
    assert [line["part"] for line in logged] == list(PARTS)
    assert all(math.isfinite(line["loss"]) for line in logged)

    told = json.loads(command("evaluate", "--weights", str(weights), "--count", "4", "--json"))
    assert told.keys() == {"reader", "vae", "samples", "clip", "blip2", "control"}
    for part, figures in told.items():
        assert {name.rpartition(", ")[2] for name in figures} == {"one thing", "two things"}
        assert all(math.isfinite(value) for value in figures.values()), part
    assert 5 < told["vae"]["all styles, one thing"] < 20, "a few steps do not make an autoencoder"


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
    assert record["courses"] == [{"from_step": 0, "settings": record["settings"]}]
    assert json.loads((tmp_path / "weights/manifest.json").read_text()) == manifest


def test_the_autoencoder_learns(data: Stills, tmp_path: Path) -> None:
    device = torch.device("cpu")
    x = pixels(data, torch.arange(32), device)
    errors = []
    for steps in (1, 30):
        out = tmp_path / str(steps)
        out.mkdir()
        changes = {"steps": steps, "batch": 8, "warmup": 5}
        train_part("vae", data, changes, out, device)
        vae = new_vae().from_pretrained(out / "weights/base/vae", torch_dtype=torch.float32)
        with torch.no_grad():
            errors.append(float(((vae(x).sample - x) ** 2).mean()))
    assert errors[1] < 0.5 * errors[0]
