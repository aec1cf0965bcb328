"""LoRAs merged into a base: against the layers' own arithmetic, and what is refused."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tav_model.base import find_base
from tav_model.check import check_base
from tav_model.config import InvertConfig, LoraConfig, ModelConfig, SampleConfig, TuneConfig
from tav_model.errors import BaseModelError
from tav_model.image import load_image_base
from tav_model.invert import invert
from tav_model.load import BaseModel, load_base
from tav_model.lora import merge_loras
from tav_model.sample import sample
from tav_model.tune import tune
from tests.ldm_checkpoint import write_checkpoint
from tests.lora_files import (
    ALPHA,
    RANK,
    STYLES,
    full_lora,
    named,
    random_pairs,
    targets,
    weights_of,
    write_lora,
)


def loaded_with(folder: Path, *loras: tuple[Path, float]) -> BaseModel:
    files = tuple(LoraConfig(path=str(path), weight=weight) for path, weight in loras)
    return load_base(ModelConfig(base=str(folder), loras=files))


@pytest.mark.parametrize("style", STYLES)
def test_weight_one_is_the_merged_weights(base_folder: Path, tmp_path: Path, style: str) -> None:
    path = full_lora(base_folder, tmp_path / "x.safetensors", style)
    base = loaded_with(base_folder, (path, 1.0))
    scale = ALPHA / RANK if style == "kohya" else 1.0
    changed = 0
    for number, (part, module) in enumerate(
        (("unet", base.unet), ("text_encoder", base.text_encoder))
    ):
        alone = style == "unet alone" and part == "text_encoder"
        pairs = {} if alone else random_pairs(targets(base_folder, part), seed=number)
        state = module.state_dict()
        for name, weight in weights_of(base_folder, part).items():
            pair = pairs.get(name.removesuffix(".weight"))
            wanted = weight
            if pair is not None and name.endswith(".weight"):
                update = pair["up"].flatten(1).double() @ pair["down"].flatten(1).double()
                wanted = (weight.double() + scale * update.reshape(weight.shape)).float()
                assert float((wanted - weight).abs().max()) > 1e-3
                changed += 1
                torch.testing.assert_close(state[name], wanted, rtol=0, atol=1e-6)
            else:
                assert torch.equal(state[name], wanted), name
    assert changed > 90


def test_weight_zero_changes_no_bit(base_folder: Path, tmp_path: Path) -> None:
    path = full_lora(base_folder, tmp_path / "x.safetensors")
    base, plain = loaded_with(base_folder, (path, 0.0)), loaded_with(base_folder)
    for name, tensor in plain.unet.state_dict().items():
        assert torch.equal(base.unet.state_dict()[name], tensor), name
    for name, tensor in plain.text_encoder.state_dict().items():
        assert torch.equal(base.text_encoder.state_dict()[name], tensor), name


@pytest.mark.parametrize("core", [False, True])
def test_a_merged_layer_is_the_layer_beside_its_pair(
    base_folder: Path, tmp_path: Path, *, core: bool
) -> None:
    """What a trainer computed: the layer, and beside it down, (core,) up; here in one layer."""
    layers = targets(base_folder, "unet")
    pairs = random_pairs(layers, core=core)
    path = write_lora(tmp_path / "x.safetensors", named(pairs, "unet", "kohya"))
    state = weights_of(base_folder, "unet")
    merged = merge_loras("unet", state, [LoraConfig(path=str(path), weight=0.5)])
    generator = torch.Generator().manual_seed(7)
    kinds = set()
    for layer, pair in pairs.items():
        weight = state[f"{layer}.weight"]
        kinds.add((weight.ndim, tuple(weight.shape[2:])))
        if weight.ndim == 2:
            x = torch.randn(2, weight.shape[1], generator=generator)
            beside = functional.linear(functional.linear(x, pair["down"]), pair["up"])
            own, now = (functional.linear(x, w) for w in (weight, merged[f"{layer}.weight"]))
        else:
            x = torch.randn(1, weight.shape[1], 5, 5, generator=generator)
            pad = weight.shape[-1] // 2
            own, now = (
                functional.conv2d(x, w, padding=pad) for w in (weight, merged[f"{layer}.weight"])
            )
            inner = functional.conv2d(x, pair["down"], padding=0 if "mid" in pair else pad)
            if "mid" in pair:
                inner = functional.conv2d(inner, pair["mid"], padding=pad)
            beside = functional.conv2d(inner, pair["up"])
        torch.testing.assert_close(now, own + 0.5 * ALPHA / RANK * beside, rtol=1e-5, atol=1e-5)
    assert kinds >= {(2, ()), (4, (3, 3)), (4, (1, 1))}


def test_loras_add_up_in_order(base_folder: Path, tmp_path: Path) -> None:
    first = full_lora(base_folder, tmp_path / "a.safetensors", "peft")
    second = full_lora(base_folder, tmp_path / "b.safetensors", seed=20)
    name = "mid_block.attentions.0.transformer_blocks.0.attn1.to_k.weight"
    plain, one, other, both = (
        loaded_with(base_folder, *loras).unet.state_dict()[name]
        for loras in ((), ((first, 0.7),), ((second, -0.2),), ((first, 0.7), (second, -0.2)))
    )
    torch.testing.assert_close(both - plain, (one - plain) + (other - plain), rtol=0, atol=1e-6)
    assert float((one - plain).abs().max()) > 1e-3
    assert float((other - plain).abs().max()) > 1e-3


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({"unet.lora_alpha": 6, "unet.r": RANK}, 2.0),
        ({"unet.lora_alpha": 6, "unet.use_rslora": True}, 6 / RANK**0.5),
        ({"unet.lora_alpha": 6, "unet.alpha_pattern": {"attn1.to_k": 1.5}}, 0.5),
        ({"text_encoder.lora_alpha": 6}, 1.0),
        ({}, 1.0),
    ],
)
def test_pefts_alpha_is_in_the_header(
    base_folder: Path, tmp_path: Path, settings: dict[str, object], scale: float
) -> None:
    layer = "mid_block.attentions.0.transformer_blocks.0.attn1.to_k"
    weight = weights_of(base_folder, "unet")[f"{layer}.weight"]
    pairs = random_pairs({layer: weight})
    header = {"lora_adapter_metadata": json.dumps(settings)} if settings else {}
    path = write_lora(tmp_path / "x.safetensors", named(pairs, "unet", "peft"), header)
    merged = merge_loras("unet", {f"{layer}.weight": weight}, [LoraConfig(path=str(path))])
    update = scale * pairs[layer]["up"] @ pairs[layer]["down"]
    torch.testing.assert_close(merged[f"{layer}.weight"], weight + update, rtol=0, atol=1e-6)


def test_a_half_precision_base_is_merged_in_full(base_folder: Path, tmp_path: Path) -> None:
    layer = "mid_block.attentions.0.transformer_blocks.0.attn1.to_k"
    weight = weights_of(base_folder, "unet")[f"{layer}.weight"].half()
    pairs = random_pairs({layer: weight})
    path = write_lora(tmp_path / "x.safetensors", named(pairs, "unet", "peft"))
    merged = merge_loras("unet", {f"{layer}.weight": weight}, [LoraConfig(path=str(path))])
    wanted = weight.float() + pairs[layer]["up"] @ pairs[layer]["down"]
    assert merged[f"{layer}.weight"].dtype == torch.float32
    torch.testing.assert_close(merged[f"{layer}.weight"], wanted, rtol=0, atol=1e-7)


def test_a_lora_tunes_and_samples(
    base_folder: Path, tmp_path: Path, frames: NDArray[np.uint8]
) -> None:
    """On a file as on a folder, inflated and as an image model."""
    file = write_checkpoint(base_folder, tmp_path / "all.safetensors")
    path = full_lora(base_folder, tmp_path / "x.safetensors")
    lora = (LoraConfig(path=str(path), weight=0.8),)
    latents, identities = [], set()
    for config in (
        ModelConfig(base=str(file), config=str(base_folder), loras=lora),
        ModelConfig(base=str(base_folder), loras=lora),
        ModelConfig(base=str(base_folder)),
        ModelConfig(base=str(base_folder), loras=(LoraConfig(path=str(path), weight=0.5),)),
    ):
        base = load_base(config)
        tune(base, frames, "a red ball", TuneConfig(steps=2), seed=1)
        noise = torch.randn(4, 4, 4, 6, generator=torch.Generator().manual_seed(0))
        start = invert(base, noise, InvertConfig(steps=2))
        latents.append(next(iter(sample(base, start, ["a blue ball"], SampleConfig(steps=2)))))
        identities.add(base.identity)
    assert torch.equal(latents[0], latents[1])
    assert float((latents[1] - latents[2]).abs().max()) > 1e-3
    assert len(identities) == 4
    check_base(find_base(ModelConfig(base=str(file), config=str(base_folder), loras=lora)))
    name = "mid_block.attentions.0.transformer_blocks.0.attn1.to_k.weight"
    image = load_image_base(ModelConfig(base=str(base_folder), loras=lora), frames_per_batch=1)
    video = load_base(ModelConfig(base=str(base_folder), loras=lora))
    assert torch.equal(image.unet.state_dict()[name], video.unet.state_dict()[name])


_K = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_k"
_OUT = "mid_block.attentions.0.transformer_blocks.0.attn1"
WRONG: dict[str, tuple[Callable[[], dict[str, Tensor]], str]] = {
    "other layers": (
        lambda: {
            "lora_unet_input_blocks_4_1_proj_in.lora_down.weight": torch.zeros(2, 16),
            "lora_unet_input_blocks_4_1_proj_in.lora_up.weight": torch.zeros(16, 2),
        },
        r"changes input_blocks_4_1_proj_in of the unet .* does not have.*another kind of base",
    ),
    "other width": (
        lambda: {
            f"{_K}.lora_down.weight": torch.zeros(2, 77),
            f"{_K}.lora_up.weight": torch.zeros(32, 2),
        },
        r"of shape \(2, 77\), but mid_block.* is \(32, 32\) and needs \(2, 32\)",
    ),
    "two ranks": (
        lambda: {
            f"{_K}.lora_down.weight": torch.zeros(2, 32),
            f"{_K}.lora_up.weight": torch.zeros(32, 3),
        },
        r"lora_up\.weight of shape \(32, 3\).* needs \(32, 2\)",
    ),
    "a half": (
        lambda: {f"{_K}.lora_up.weight": torch.zeros(32, 2)},
        "but not the down that belongs to it",
    ),
    "a number": (
        lambda: {
            f"{_K}.lora_down.weight": torch.zeros(()),
            f"{_K}.lora_up.weight": torch.zeros(32, 2),
        },
        r"lora_down\.weight of shape \(\)",
    ),
    "in two ways": (
        lambda: {
            f"unet.{_OUT}.{way}.weight": torch.zeros(shape)
            for way, shape in {
                "to_out.0.lora_A": (2, 32),
                "to_out.0.lora_B": (32, 2),
                "processor.to_out_lora.down": (2, 32),
                "processor.to_out_lora.up": (32, 2),
            }.items()
        },
        "names one weight of the unet in two ways",
    ),
    "twice": (
        lambda: {
            f"{_K}.lora_up.weight": torch.zeros(32, 2),
            "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_k.lora_B.weight": (
                torch.zeros(32, 2)
            ),
        },
        "two tensors for one weight",
    ),
    "SDXL": (
        lambda: {"lora_te2_text_model_x.lora_up.weight": torch.zeros(32, 2)},
        "which is another kind of model's",
    ),
    "LoHa": (lambda: {f"{_K}.hada_w1_a": torch.zeros(2, 2)}, "which is none of a LoRA's.*not LoHa"),
    "a norm": (
        lambda: {
            "unet.conv_norm_out.lora_A.weight": torch.zeros(2, 16),
            "unet.conv_norm_out.lora_B.weight": torch.zeros(16, 2),
        },
        "changes conv_norm_out of the unet",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_does_not_fit_is_refused(base_folder: Path, tmp_path: Path, kind: str) -> None:
    make, message = WRONG[kind]
    path = write_lora(tmp_path / "x.safetensors", make())
    with pytest.raises(BaseModelError, match=message):
        loaded_with(base_folder, (path, 0.0))


@pytest.mark.parametrize("value", ["x", [1], {"a": 1}])
def test_an_alpha_that_is_none_is_refused(base_folder: Path, tmp_path: Path, value: object) -> None:
    layer = "mid_block.attentions.0.transformer_blocks.0.attn1.to_k"
    pairs = random_pairs({layer: weights_of(base_folder, "unet")[f"{layer}.weight"]})
    header = {"lora_adapter_metadata": json.dumps({"unet.lora_alpha": value})}
    path = write_lora(tmp_path / "x.safetensors", named(pairs, "unet", "peft"), header)
    with pytest.raises(BaseModelError, match="says in its header what is no alpha"):
        loaded_with(base_folder, (path, 1.0))


def test_files_that_are_none_are_refused(base_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(b"\x80\x04.")
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    (tmp_path / "empty.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    (tmp_path / "in").mkdir()
    full_lora(base_folder, tmp_path / "in" / "pytorch_lora_weights.safetensors")
    for name, message in {
        "x.pt": "is a pickle",
        "none.safetensors": "is not there",
        "bad.safetensors": "no whole safetensors file",
        "empty.safetensors": "holds no tensor",
        "in": r"is a folder.*such as pytorch_lora_weights\.safetensors",
    }.items():
        with pytest.raises(BaseModelError, match=message):
            loaded_with(base_folder, (tmp_path / name, 1.0))
    damaged = {
        f"{_K}.lora_down.weight": torch.full((2, 32), float("nan")),
        f"{_K}.lora_up.weight": torch.zeros(32, 2),
    }
    path = write_lora(tmp_path / "nan.safetensors", damaged)
    config = ModelConfig(base=str(base_folder), loras=(LoraConfig(path=str(path)),))
    with pytest.raises(BaseModelError, match=r"nan\.safetensors makes mid_block.* NaN"):
        check_base(find_base(config))
    with pytest.raises(ValueError, match="weight=inf is out of range"):
        LoraConfig(path="x", weight=float("inf"))
