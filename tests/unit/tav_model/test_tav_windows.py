"""Windows cover a long clip, and agree with the whole where there is nothing to blend."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tav_model.config import ControlConfig, InvertConfig, ModelConfig, SampleConfig, TuneConfig
from tav_model.control import Steering, load_net
from tav_model.invert import invert
from tav_model.load import BaseModel, load_base
from tav_model.sample import sample
from tav_model.text import encode_prompts
from tav_model.tune import tune
from tav_model.windows import Windows, blended
from tests.random_controls import build_adapter, build_controlnet

sizes = st.integers(2, 30).flatmap(
    lambda window: st.tuples(
        st.just(window), st.integers(0, window - 1), st.integers(window + 2, 120)
    )
)


@given(sizes)
def test_windows_cover_the_clip_and_overlap(size: tuple[int, int, int]) -> None:
    window, overlap, frames = size
    windows = Windows(window, overlap)
    starts = windows.starts(frames)
    assert starts[0] == 0
    assert starts[-1] == frames - window
    steps = [after - before for before, after in itertools.pairwise(starts)]
    assert all(0 < step <= window - overlap for step in steps)
    for start in starts:
        seen = windows.seen(start)
        assert seen[0] == 0
        assert seen[-window:] == list(range(start, start + window))
        assert len(seen) == window + (start > 0)


@given(sizes)
def test_what_all_windows_agree_on_comes_out(size: tuple[int, int, int]) -> None:
    window, overlap, frames = size
    x = torch.randn(2, 3, frames, 1, 1, generator=torch.Generator().manual_seed(frames))
    out = blended(Windows(window, overlap), x, lambda part, _frames: 2 * part)
    assert torch.allclose(out, 2 * x, atol=1e-5)


def test_a_frame_is_the_mean_of_what_its_windows_say_the_middle_of_each_counting_most() -> None:
    x = torch.zeros(1, 1, 6, 1, 1)
    said = iter((1.0, 2.0))  # of frames 0 to 3 and of 2 to 5

    def predict(part: Tensor, frames: Tensor) -> Tensor:
        assert frames.tolist() in ([0, 1, 2, 3], [0, 2, 3, 4, 5])
        return torch.full_like(part, next(said))

    out = blended(Windows(4, 2), x, predict).flatten()
    # Weights are 1 2 2 1: of frame 2 it is (2 * 1 + 1 * 2) / 3, of frame 3 (1 * 1 + 2 * 2) / 3.
    assert torch.allclose(out, torch.tensor([1, 1, 4 / 3, 5 / 3, 2, 2]))


@pytest.fixture(scope="module")
def windowed(base_folder: Path) -> BaseModel:
    return load_base(ModelConfig(base=str(base_folder), window=4, overlap=2))


def noise(frames: int) -> Tensor:
    return torch.randn(4, frames, 4, 6, generator=torch.Generator().manual_seed(frames))


@pytest.mark.parametrize("frames", [1, 3, 4, 5])
def test_a_clip_of_one_window_is_seen_whole(
    windowed: BaseModel, base: BaseModel, frames: int
) -> None:
    text = encode_prompts(base, ["a fish"])
    x, t = noise(frames)[None], torch.tensor(500)
    assert torch.equal(windowed.unet(x, t, text), base.unet(x, t, text))


def test_no_more_frames_than_a_window_and_the_first_are_seen_at_once(windowed: BaseModel) -> None:
    seen: list[int] = []
    hook = windowed.unet.conv_in.register_forward_hook(lambda _m, _in, out: seen.append(len(out)))
    try:
        windowed.unet(noise(11)[None], torch.tensor(500), encode_prompts(windowed, ["a fish"]))
    finally:
        hook.remove()
    assert seen == [4, 5, 5, 5, 5]


def test_every_window_attends_to_the_first_frame(windowed: BaseModel) -> None:
    """Another first frame changes what is said of the last, which no window shares with it."""
    text, t = encode_prompts(windowed, ["a fish"]), torch.tensor(500)
    one = noise(11)[None]
    other = one.clone()
    other[:, :, 0] += 1
    with torch.no_grad():
        before, after = (windowed.unet(x, t, text)[:, :, -1] for x in (one, other))
    assert (before - after).abs().max() > 1e-4


def test_a_long_clip_is_tuned_inverted_and_sampled(windowed: BaseModel) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (11, 32, 48, 3), dtype=np.uint8)
    config = TuneConfig(steps=3, learning_rate=1e-3)
    seen: set[int] = set()
    hook = windowed.unet.conv_in.register_forward_hook(lambda _m, _in, out: seen.add(len(out)))
    try:
        first = tune(windowed, frames, "a fish", config, seed=1)
        assert seen <= {4, 5}
    finally:
        hook.remove()
    again = tune(windowed, frames, "a fish", config, seed=1)
    assert first.losses == again.losses
    assert all(torch.equal(first.adapter[name], again.adapter[name]) for name in first.adapter)
    assert first.metadata["window"] == "4 2"
    start = invert(windowed, noise(11), InvertConfig(steps=2))
    (found,) = sample(windowed, start, ["a blue fish"], SampleConfig(steps=2))
    assert found.shape == (4, 11, 4, 6)


def test_a_tuning_is_not_taken_up_with_another_window(
    windowed: BaseModel, base_folder: Path
) -> None:
    from tav_model.errors import CheckpointError
    from tav_model.state import TuneState

    frames = np.random.default_rng(0).integers(0, 256, (11, 32, 48, 3), dtype=np.uint8)
    states: list[TuneState] = []
    config = TuneConfig(steps=2, checkpoint_every=1)
    tune(windowed, frames, "a fish", config, seed=1, on_checkpoint=states.append)
    other = load_base(ModelConfig(base=str(base_folder), window=5, overlap=2))
    with pytest.raises(CheckpointError, match="window"):
        tune(other, frames, "a fish", config, seed=1, resume=states[0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"window": 1}, "window=1 is out of range"), ({"window": 4, "overlap": 4}, "overlap=4")],
)
def test_windows_out_of_range_are_refused(changes: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(ModelConfig(base="b"), **changes)  # type: ignore[arg-type]


def test_windows_are_steered_by_the_maps_of_their_own_frames(
    windowed: BaseModel, base_folder: Path, tmp_path: Path
) -> None:
    """Both kinds of controls see what they would see of each window by itself."""
    adapter = build_adapter(tmp_path / "adapter", base_folder, seed=3)
    controlnet = build_controlnet(tmp_path / "net", base_folder, seed=1)
    configs = [
        ControlConfig(kind="controlnet", model=str(controlnet), map="files"),
        ControlConfig(kind="t2i_adapter", model=str(adapter), map="files"),
    ]
    nets = [load_net(config, windowed) for config in configs]
    maps = torch.rand(11, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    text, t = encode_prompts(windowed, ["a fish"]), torch.tensor(500)
    x = noise(11)[None]
    steering = Steering(nets, [maps, maps])
    with torch.no_grad():
        found = windowed.unet(x, t, text, steering.step(0, 1))
        assert windowed.unet.windows is not None

        def alone(part: Tensor, frames: Tensor) -> Tensor:
            own = Steering(nets, [maps[frames], maps[frames]])
            seen: Tensor = windowed.unet(part, t, text, own.step(0, 1))
            return seen

        expected = blended(windowed.unet.windows, x, alone)
        assert torch.allclose(found, expected, atol=1e-5)
        assert (found - windowed.unet(x, t, text)).abs().max() > 1e-3, "the controls do nothing"


def test_a_long_clip_is_tuned_under_controls(
    windowed: BaseModel, base_folder: Path, tmp_path: Path
) -> None:
    folder = build_controlnet(tmp_path / "net", base_folder, seed=1)
    net = load_net(ControlConfig(kind="controlnet", model=str(folder), map="files"), windowed)
    frames = np.random.default_rng(0).integers(0, 256, (11, 32, 48, 3), dtype=np.uint8)
    config = TuneConfig(steps=2)
    maps = torch.rand(11, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    plain, steered = (
        tune(windowed, frames, "a fish", config, seed=1, steering=steering).losses
        for steering in (None, Steering([net], [maps]))
    )
    assert plain != steered
