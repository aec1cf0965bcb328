"""The reader: learns, is kept whole, refuses what it cannot read, and the shipped one is right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.truth import FRAMES, changed, crossed, equal, truth
from tinyworld.draw import stills as drawn
from tinyworld.measures import details_read, visible_scenes, words_right
from tinyworld.reader import Reader, Reading
from tinyworld.reader_net import FRAME_CLASSES, THING_CLASSES, ReaderNet, Scores
from tinyworld.scenes import SIZE, Scene, Thing
from tinyworld.shipped import shipped_model
from tinyworld.train import reader as trainer
from tinyworld.train.data import NO_THING, Stills, stills
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
    for steps in (1, 80):  # the second goes on from the first
        trained = trainer.train_reader(data, settings(steps), tmp_path, cpu)
    lines = (tmp_path / "losses.jsonl").read_text().splitlines()
    first, *_, last = (json.loads(line)["loss"] for line in lines)
    assert last < 0.92 * first
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


def test_backdrops_are_of_every_word_and_have_no_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "_BACKDROPS", 60)
    x, classes = trainer._backdrops(seed=3)
    assert x.shape == (60, 3, SIZE, SIZE)
    assert -1 <= x.min() < x.max() <= 1
    assert classes.shape == (60, 2)
    for k, words in enumerate(FRAME_CLASSES.values()):
        assert set(classes[:, k].tolist()) == set(range(len(words)))
    again, _ = trainer._backdrops(seed=3)
    other, _ = trainer._backdrops(seed=4)
    assert torch.equal(x, again)
    assert not torch.equal(x, other)


def test_a_still_s_things_may_go_to_either_slot(data: Stills) -> None:
    """The loss of a perfect reading is none whichever slot holds which thing, if both agree."""
    two = np.nonzero(data.things[:, 1, 0] != NO_THING)[0][:4]
    things, looks = torch.from_numpy(data.things[two]), torch.from_numpy(data.looks[two])
    sure = 50.0
    scores = Scores(
        present=torch.full((4, 2), sure),
        things={
            name: sure * torch.nn.functional.one_hot(things[..., k], len(words)).float()
            for k, (name, words) in enumerate(THING_CLASSES.items())
        },
        looks=looks.float(),
        frames={},
        places=torch.zeros(4, 2),
    )
    assert trainer._thing_errors(scores, things, looks).max() < 1e-3
    assert trainer._thing_errors(scores, things.flip(1), looks.flip(1)).min() > 10
    # Of a slot that should be empty, nothing but its presence counts.
    gone = things.clone()
    gone[:, 1] = NO_THING
    errors = trainer._thing_errors(scores, gone, looks + torch.tensor([[0.0], [5.0]]))
    assert errors.tolist() == pytest.approx([sure] * 4)


def test_a_saved_reader_reads_the_same(data: Stills, tmp_path: Path) -> None:
    reader = untrained()
    reader.save(tmp_path / "reader")
    frames = np.array(data.pixels[:5])
    one, two = reader.read(frames), Reader.load(tmp_path / "reader").read(frames)
    assert equal(one, two)
    assert one.present.shape == one.color.shape == one.size.shape == (5, 2)
    assert one.centers.shape == (5, 2, 2)
    assert one.background.shape == one.tint.shape == (5,)
    assert one.present.dtype == one.centers.dtype == one.light.dtype == np.float64
    for name, words in (THING_CLASSES | FRAME_CLASSES).items():
        assert set(getattr(one, name).flat) <= set(words)
    assert {path.name for path in (tmp_path / "reader").iterdir()} == {
        "config.json",
        "model.safetensors",
    }
    kinds = {t.dtype for t in load_file(tmp_path / "reader/model.safetensors").values()}
    assert kinds == {torch.float16}


def test_each_frame_is_read_for_itself(data: Stills) -> None:
    reader, frames = untrained(), np.array(data.pixels[:6])
    whole = reader.read(frames)
    single = [reader.read(frame[None]) for frame in frames]
    joined = Reading.joined(single)
    for name in ("centers", "present", "shade", "size", "tint", "light"):
        assert np.allclose(getattr(whole, name), getattr(joined, name), atol=1e-3), name


def test_enlarged_frames_read_alike_and_small_ones_are_enlarged(data: Stills) -> None:
    reader, frames = untrained(), np.array(data.pixels[:3])
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


PAIR = Scene(
    things=(Thing(color="red", shape="fish"), Thing(color="blue", shape="car")),
    background="sea",
)


def test_a_reading_is_ordered_cut_and_joined() -> None:
    reading = truth(PAIR)
    slots = np.array([[1, 0]] * 3 + [[0, 1]] * (FRAMES - 3))
    turned = reading.ordered(slots)
    assert list(turned.shape[:, 0]) == ["car"] * 3 + ["fish"] * (FRAMES - 3)
    assert np.array_equal(turned.centers[:3, 0], reading.centers[:3, 1])
    assert equal(turned.ordered(slots), reading)
    assert equal(turned, crossed(reading, [0, 1, 2]))
    alone = reading.ordered(np.ones((FRAMES, 1), dtype=np.int64))
    assert alone.present.shape == (FRAMES, 1)
    assert set(alone.color.flat) == {"blue"}
    assert np.array_equal(alone.background, reading.background)
    marked = changed(changed(reading, "style", {5: "sketch"}), "tint", {2: 0.5})
    parts = [marked.at(slice(0, 3)), marked.at(slice(3, 5)), marked.at(slice(5, FRAMES))]
    assert equal(Reading.joined(parts), marked)


# --- the one that comes with the package ---------------------------------------------------------


@pytest.fixture(scope="module")
def shipped() -> Reader:
    return Reader.load()


@pytest.mark.parametrize("things", [1, 2])
def test_the_shipped_reader_is_right_about_held_out_scenes(shipped: Reader, things: int) -> None:
    scenes = visible_scenes(150, seed=20, things=things)
    right = words_right(shipped.read(drawn(scenes)), scenes)
    # Of two things, one may be half behind the other, and both must be right.
    assert min(right.values()) >= (98 if things == 1 else 85), right


@pytest.mark.parametrize("things", [1, 2])
def test_the_shipped_reader_knows_details(shipped: Reader, things: int) -> None:
    found = details_read(shipped, visible_scenes(100, seed=21, things=things))
    assert found["absent"] >= 97, found
    assert min(found["pattern"], found["rim"]) >= (90 if things == 1 else 80), found
    assert max(found["shade"], found["tint"], found["light"]) <= 0.3, found
    assert found["size"] <= 0.12, found
    assert found["center"] <= 2.5, found


def test_the_shipped_reader_is_small() -> None:
    assert sum(path.stat().st_size for path in shipped_model("reader").iterdir()) < 2_000_000
