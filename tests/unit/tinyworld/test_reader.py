"""The reader: learns, is kept whole, refuses what it cannot read, and the shipped one is right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tinyworld.draw import render_at
from tinyworld.reader import Reader, ReaderNet, accuracy
from tinyworld.scenes import ATTRIBUTES, SIZE, random_scene
from tinyworld.shipped import shipped_model
from tinyworld.train import reader as trainer
from tinyworld.train.data import Stills, stills
from tinyworld.train.loop import Settings
from tinyworld.train.vae import pixels


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Stills:
    return stills(tmp_path_factory.mktemp("stills"), 64, seed=7)


def untrained(seed: int = 0) -> Reader:
    """With weights that fp16 holds exactly."""
    torch.manual_seed(seed)
    return Reader(ReaderNet().half().float())


def settings(steps: int) -> Settings:
    return Settings(steps=steps, batch=8, learning_rate=2e-3, seed=3, warmup=5)


def test_training_lowers_the_loss(
    data: Stills, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "_BACKDROPS", 100)
    cpu = torch.device("cpu")
    for steps in (1, 20, 40):  # each goes on from the one before
        trained = trainer.train_reader(data, settings(steps), tmp_path, cpu)
    lines = (tmp_path / "losses.jsonl").read_text().splitlines()
    first, _, last = (json.loads(line)["loss"] for line in lines)
    assert last < 0.9 * first
    assert not trained.net.training
    assert sum(p.numel() for p in trained.net.parameters()) < 1_000_000


def test_worn_frames_keep_shape_and_range_and_follow_their_generator(data: Stills) -> None:
    x = pixels(data, torch.arange(64), torch.device("cpu"))
    one, two, other = (trainer.worn(x, torch.Generator().manual_seed(s)) for s in (5, 5, 6))
    assert one.shape == x.shape
    assert one.abs().max() <= 1
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    change = (one - x).abs().mean(dim=(1, 2, 3))
    assert change.min() < 0.01
    assert 0.02 < change.max() < 0.5


def test_a_backdrop_is_the_scene_without_its_object() -> None:
    scene = random_scene(np.random.default_rng(1))
    full, empty = (render_at(scene, np.array([0.5]), empty=e) for e in (False, True))
    assert full.masks.any()
    assert not empty.masks.any()
    changed = (full.frames != empty.frames).any(axis=-1)
    assert changed[full.masks].mean() > 0.9
    assert changed.mean() < 0.5


def test_a_saved_reader_reads_the_same(data: Stills, tmp_path: Path) -> None:
    reader = untrained()
    reader.save(tmp_path / "reader")
    frames = np.asarray(data.pixels[:5])
    one, two = reader.read(frames), Reader.load(tmp_path / "reader").read(frames)
    assert one.attributes == two.attributes
    assert np.array_equal(one.present, two.present)
    assert np.array_equal(one.centers, two.centers)
    assert one.centers.shape == (5, 2)
    assert one.present.dtype == one.centers.dtype == np.float64
    assert {path.name for path in (tmp_path / "reader").iterdir()} == {
        "config.json",
        "model.safetensors",
    }
    kinds = {t.dtype for t in load_file(tmp_path / "reader/model.safetensors").values()}
    assert kinds == {torch.float16}


def test_each_frame_is_read_for_itself(data: Stills) -> None:
    reader, frames = untrained(), np.asarray(data.pixels[:6])
    whole = reader.read(frames)
    single = [reader.read(frame[None]) for frame in frames]
    assert np.allclose(whole.centers, np.concatenate([r.centers for r in single]), atol=1e-3)
    assert np.allclose(whole.present, np.concatenate([r.present for r in single]), atol=1e-4)


def test_enlarged_frames_read_alike_and_small_ones_are_enlarged(data: Stills) -> None:
    reader, frames = untrained(), np.asarray(data.pixels[:3])
    large = reader.read(frames.repeat(2, axis=1).repeat(2, axis=2))
    assert np.array_equal(large.centers, reader.read(frames).centers)
    assert reader.read(frames[:, ::2, ::2]).centers.max() < SIZE


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((2, 64, 48, 3), np.uint8, "48×64"),
        ((64, 64, 3), np.uint8, r"\(64, 64, 3\)"),
        ((2, 3, 64, 64), np.uint8, r"\(2, 3, 64, 64\)"),
        ((2, 64, 64, 3), np.float32, "float32"),
    ],
)
def test_other_arrays_are_refused(shape: tuple[int, ...], dtype: type, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        untrained().read(np.zeros(shape, dtype))


def test_a_reader_of_other_words_is_refused(tmp_path: Path) -> None:
    untrained().save(tmp_path)
    path = tmp_path / "config.json"
    words = json.loads(path.read_text())
    words["shape"][0], words["shape"][1] = words["shape"][1], words["shape"][0]
    path.write_text(json.dumps(words))
    with pytest.raises(ValueError, match="train it anew"):
        Reader.load(tmp_path)


def test_a_missing_reader_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Reader.load(tmp_path)


def test_the_shipped_reader_is_right_about_held_out_scenes() -> None:
    rng = np.random.default_rng(20)
    found = accuracy(Reader.load(), [random_scene(rng, held_out=True) for _ in range(300)])
    assert set(found.right) == set(ATTRIBUTES)
    assert min(found.right.values()) >= 0.98, found
    assert min(found.present, found.absent) >= 0.98, found
    assert found.miss < 1.5, found


def test_the_shipped_reader_is_small() -> None:
    assert sum(path.stat().st_size for path in shipped_model("reader").iterdir()) < 2_000_000
