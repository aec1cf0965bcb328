"""What is tuned: the paper's set, all projections of the attentions, or everything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from tav_model.adapter import adapter_of, load_adapter, reset_adapter, save_adapter
from tav_model.config import InvertConfig, ModelConfig, SampleConfig, TuneConfig, TunedSet
from tav_model.errors import AdapterMismatchError, CheckpointError
from tav_model.invert import invert
from tav_model.load import BaseModel, load_base
from tav_model.sample import sample
from tav_model.state import TuneState
from tav_model.tune import tune
from tav_model.unet import tuned_parameters

Frames = NDArray[np.uint8]
SETS: tuple[TunedSet, ...] = ("paper", "attention", "all")
CONFIGS = {name: TuneConfig(parameters=name, steps=2, learning_rate=1e-3) for name in SETS}
PROMPT = "a red fish swimming"


@pytest.fixture(scope="module")
def bases(base_folder: Path) -> dict[TunedSet, BaseModel]:
    return {name: load_base(ModelConfig(base=str(base_folder)), name) for name in SETS}


def test_the_sets_by_name(bases: dict[TunedSet, BaseModel]) -> None:
    unet = bases["all"].unet
    every = {name for name, _ in unet.named_parameters()}
    projections = {
        f"{name}.{parameter}"
        for name, module in unet.named_modules()
        if isinstance(module, nn.Linear) and ".attn" in name and ".ff." not in name
        for parameter, _ in module.named_parameters(recurse=False)
    }
    found = {name: set(tuned_parameters(base.unet)) for name, base in bases.items()}
    assert found["all"] == every
    assert found["attention"] == projections
    assert found["paper"] < found["attention"] < found["all"]
    for name, base in bases.items():
        trained = {n for n, p in base.unet.named_parameters() if p.requires_grad}
        assert trained == found[name] == set(base.initial)
        assert not any(p.requires_grad for p in base.vae.parameters())
        assert not any(p.requires_grad for p in base.text_encoder.parameters())


@pytest.mark.parametrize("name", SETS)
def test_tuning_changes_the_set_and_nothing_else(
    bases: dict[TunedSet, BaseModel], frames: Frames, name: TunedSet
) -> None:
    base = bases[name]
    reset_adapter(base)
    before = {n: t.clone() for n, t in base.unet.state_dict().items()}
    result = tune(base, frames, PROMPT, CONFIGS[name], seed=3)
    after = base.unet.state_dict()
    changed = {n for n in before if not torch.equal(before[n], after[n])}
    assert changed == set(tuned_parameters(base.unet)) == set(result.adapter)
    assert result.num_params == sum(p.numel() for p in tuned_parameters(base.unet).values())
    noise = torch.randn(4, 4, 4, 6, generator=torch.Generator().manual_seed(0))
    start = invert(base, noise, InvertConfig(steps=2))
    (latents,) = sample(base, start, ["a blue fish"], SampleConfig(steps=2))
    assert bool(torch.isfinite(latents).all())


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
@pytest.mark.parametrize("name", SETS)
def test_lower_precision_keeps_masters_and_follows(
    base_folder: Path, bases: dict[TunedSet, BaseModel], frames: Frames, name: TunedSet, dtype: str
) -> None:
    low = load_base(ModelConfig(base=str(base_folder), dtype=dtype), name)  # type: ignore[arg-type]
    assert low.unet.dtype == low.dtype
    tuned = tuned_parameters(low.unet)
    for parameter, value in low.unet.named_parameters():
        assert value.dtype == (torch.float32 if parameter in tuned else low.dtype), parameter
    result = tune(low, frames, PROMPT, CONFIGS[name], seed=3)
    whole = tune(bases[name], frames, PROMPT, CONFIGS[name], seed=3)
    assert result.losses == pytest.approx(whole.losses, rel=0.05)
    noise = torch.randn(4, 4, 4, 6, generator=torch.Generator().manual_seed(0))
    outputs = []
    for base in (low, bases[name]):
        reset_adapter(base)
        with torch.no_grad():
            text = torch.randn(1, 77, 32, generator=torch.Generator().manual_seed(1))
            outputs.append(base.unet(noise[None], 500, text))
    error = float((outputs[0] - outputs[1]).norm() / outputs[1].norm())
    assert error < 0.05


def test_resumed_is_uninterrupted_where_all_is_tuned(
    bases: dict[TunedSet, BaseModel], frames: Frames, tmp_path: Path
) -> None:
    base = bases["all"]
    config = TuneConfig(parameters="all", steps=2, checkpoint_every=1, learning_rate=1e-3)
    states: list[TuneState] = []
    whole = tune(base, frames, PROMPT, config, seed=7, on_checkpoint=states.append)
    states[0].save(tmp_path / "state")
    again = tune(base, frames, PROMPT, config, seed=7, resume=tmp_path / "state")
    assert again.losses == whole.losses
    assert all(torch.equal(t, again.adapter[n]) for n, t in whole.adapter.items())
    with pytest.raises(CheckpointError, match="parameters is 'all' there and None here"):
        tune(bases["paper"], frames, PROMPT, CONFIGS["paper"], seed=7, resume=states[0])


def test_an_adapter_says_its_set(
    bases: dict[TunedSet, BaseModel], frames: Frames, tmp_path: Path
) -> None:
    path = tmp_path / "adapter.safetensors"
    result = tune(bases["attention"], frames, PROMPT, CONFIGS["attention"], seed=7)
    save_adapter(path, result.adapter, result.metadata)
    before = adapter_of(bases["all"])
    for name in ("all", "paper"):
        with pytest.raises(
            AdapterMismatchError,
            match=f"tuned with tune.parameters=attention, the model was loaded for {name}. Set",
        ):
            load_adapter(bases[name], path)
    assert all(torch.equal(t, before[n]) for n, t in adapter_of(bases["all"]).items())
    reset_adapter(bases["attention"])
    assert load_adapter(bases["attention"], path)["parameters"] == "attention"
    old = tune(bases["paper"], frames, PROMPT, CONFIGS["paper"], seed=7)
    assert "parameters" not in old.metadata  # as adapters of before were written
    save_adapter(path, old.adapter, old.metadata)
    load_adapter(bases["paper"], path)


def test_a_base_loaded_for_another_set_is_refused(
    bases: dict[TunedSet, BaseModel], frames: Frames
) -> None:
    with pytest.raises(ValueError, match=r"'all', but the base was loaded to tune 'paper'.*Load"):
        tune(bases["paper"], frames, PROMPT, CONFIGS["all"], seed=1)
    with pytest.raises(ValueError, match="parameters='some' is out of range"):
        TuneConfig(parameters="some")  # type: ignore[arg-type]
