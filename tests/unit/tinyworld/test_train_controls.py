"""The nets that steer the base: what they are shown, that they learn, and that runs load them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file

from components.config import ControlsConfig
from components.controls.maker import make_maker
from tav_model.config import ControlConfig, ModelConfig
from tav_model.control import load_net
from tav_model.load import load_base
from tinyworld.layout import file_digests, noise_scheduler
from tinyworld.shipped import NETS, Net, shipped_model
from tinyworld.train.controls import maps
from tinyworld.train.data import Stills, stills
from tinyworld.train.loop import steps_done
from tinyworld.train.noising import Noising, level_weights, thing_weights
from tinyworld.train.parts import train_part


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Stills:
    return stills(tmp_path_factory.mktemp("stills"), 64, seed=7)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training's folder with a base that is trained."""
    folder = tmp_path_factory.mktemp("out")
    shutil.copytree(shipped_model("base"), folder / "weights/base")
    return folder


@pytest.mark.parametrize("net", NETS)
def test_a_net_learns_beside_a_frozen_base_and_loads_as_runs_load_it(
    net: Net, data: Stills, out: Path
) -> None:
    before = file_digests(out / "weights/base")
    changes = {"steps": 2, "batch": 4, "warmup": 1}
    train_part(net, data, changes, out, torch.device("cpu"))
    assert steps_done(out, net) == 2
    assert json.loads((out / f"{net}.record.json").read_text())["steps_done"] == 2
    assert file_digests(out / "weights/base") == before

    folder = out / "weights" / net
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}
    saved = load_file(folder / "diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.float16}
    kind, _, shown = net.rpartition("_")
    config = ControlConfig(kind=kind, model=str(folder), map=shown)  # type: ignore[arg-type]
    loaded = load_net(config, load_base(ModelConfig(base=str(out / "weights/base"))))
    given = maps(net, data, torch.arange(2))
    if kind == "t2i_adapter":
        found = loaded.features(given)
        assert [x.shape[1:] for x in found] == [(64, 16, 16), (128, 8, 8), (192, 4, 4)]
    else:
        x, text = torch.randn(2, 4, 16, 16), torch.randn(2, 32, 96)
        skips, middle = loaded.residuals(x, torch.tensor([500, 500]), text, given)
        assert all(float(one.abs().max()) > 0 for one in (*skips, middle)), "it stayed zero"


def test_an_interrupted_net_goes_on_to_the_same_weights(data: Stills, out: Path) -> None:
    whole, broken = out / "whole", out / "broken"
    for folder in (whole, broken):
        shutil.copytree(shipped_model("base"), folder / "weights/base")
    changes = {"batch": 2, "warmup": 1, "cooldown": 1e-9}
    device = torch.device("cpu")
    train_part("controlnet_depth", data, {**changes, "steps": 2}, whole, device)
    for steps in (1, 2):
        train_part("controlnet_depth", data, {**changes, "steps": steps}, broken, device)
    of = "weights/controlnet_depth"
    assert file_digests(whole / of) == file_digests(broken / of)


def test_a_net_without_a_base_says_what_to_train_first(data: Stills, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="--parts vae diffusion"):
        train_part("controlnet_depth", data, {"steps": 1}, tmp_path, torch.device("cpu"))


def test_maps_of_depth_tell_who_is_in_front(data: Stills) -> None:
    lone = data.things[:, 1, 0] < 0
    assert lone.any()
    assert not lone.all()
    for near, alone in zip(np.asarray(data.near), lone, strict=True):
        assert set(np.unique(near)) == ({0, 255} if alone else {0, 128, 255})
    shown = maps("controlnet_depth", data, torch.tensor([3, 5]))
    assert shown.shape == (2, 3, 64, 64)
    assert torch.equal((shown[:, 0] * 255).byte(), torch.from_numpy(data.near[[3, 5]]))


def test_edges_are_those_that_runs_make(data: Stills) -> None:
    shown = maps("controlnet_canny", data, torch.arange(4))
    made = make_maker(ControlsConfig(), "canny", {})(np.asarray(data.pixels[:4]))
    assert torch.equal(shown.permute(0, 2, 3, 1) * 255, torch.from_numpy(made).float())
    assert 0.02 < float(shown.mean()) < 0.5


def test_cells_of_things_count_three_fold_and_noisy_levels_more(data: Stills) -> None:
    weight = thing_weights(data).float()
    assert weight.shape == (len(data), 16, 16)
    assert torch.allclose(weight.mean(dim=(1, 2)), torch.ones(len(data)), atol=1e-3)
    x, y = (int(data.looks[0, 0, k] // 4) for k in (2, 3))
    assert weight[0, y, x] / weight[0].min() == pytest.approx(3, rel=1e-2)
    levels = level_weights(noise_scheduler().alphas_cumprod)
    assert float(levels.mean()) == pytest.approx(1)
    assert levels[0] < levels[300] < levels[900] == levels.max()


def test_an_adapter_sees_noisy_levels_more_often(data: Stills, out: Path) -> None:
    vae = AutoencoderKL.from_pretrained(out / "weights/base/vae", torch_dtype=torch.float32)
    noising = Noising(vae, data, out, torch.device("cpu"))
    index, generator = torch.zeros(400, dtype=torch.int64), torch.Generator().manual_seed(1)
    even, cubic = (noising(index, generator, cubic=c).times.float().mean() for c in (False, True))
    assert 450 < even < 550
    assert 700 < cubic < 800, "three quarters of all levels, on average"
