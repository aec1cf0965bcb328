"""Bases in one file, and VAEs: the same tensors as the folder that they were made from."""

from __future__ import annotations

import dataclasses
import json
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from tav_model.base import base_config, find_base
from tav_model.check import check_base
from tav_model.config import InvertConfig, ModelConfig, SampleConfig, TuneConfig
from tav_model.errors import BaseModelError
from tav_model.image import load_image_base
from tav_model.invert import invert
from tav_model.load import BaseModel, load_base
from tav_model.sample import sample
from tav_model.single_file import CONFIGS, config_folder, tokenizer_of
from tav_model.text import encode_prompts
from tav_model.tune import tune
from tests.ldm_checkpoint import vae_names, write_checkpoint
from tests.random_models import build_base_model


def parts_of(base: BaseModel) -> dict[str, nn.Module]:
    return {"unet": base.unet, "vae": base.vae, "text_encoder": base.text_encoder}


def assert_equal(one: BaseModel, other: BaseModel) -> None:
    for part, module in parts_of(one).items():
        ours, theirs = module.state_dict(), parts_of(other)[part].state_dict()
        assert ours.keys() == theirs.keys()
        for name, tensor in ours.items():
            assert torch.equal(tensor, theirs[name]), (part, name)


@pytest.mark.parametrize("kind", ["eps", "v"])
@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_a_file_and_its_folder_give_equal_tensors(
    base_folder: Path, velocity_folder: Path, tmp_path: Path, kind: str, dtype: str
) -> None:
    folder = base_folder if kind == "eps" else velocity_folder
    file = write_checkpoint(folder, tmp_path / "all.safetensors", openclip=kind == "v")
    config = ModelConfig(base=str(file), config=str(folder), dtype=dtype)  # type: ignore[arg-type]
    one, whole = load_base(config), load_base(ModelConfig(base=str(folder), dtype=dtype))  # type: ignore[arg-type]
    assert_equal(one, whole)
    assert torch.equal(encode_prompts(one, ["a red ball"]), encode_prompts(whole, ["a red ball"]))
    assert one.scheduler.config == whole.scheduler.config
    assert one.identity != whole.identity
    check_base(find_base(config))


def test_the_folder_of_configs_needs_no_weights(base_folder: Path, tmp_path: Path) -> None:
    file = write_checkpoint(base_folder, tmp_path / "all.safetensors")
    ignore = shutil.ignore_patterns("*.safetensors")
    configs = Path(shutil.copytree(base_folder, tmp_path / "configs", ignore=ignore))
    bare = load_base(ModelConfig(base=str(file), config=str(configs)))
    assert_equal(bare, load_base(ModelConfig(base=str(base_folder))))
    assert bare.identity == load_base(ModelConfig(base=str(file), config=str(base_folder))).identity
    (configs / "scheduler" / "scheduler_config.json").unlink()
    with pytest.raises(BaseModelError, match=r"no scheduler_config\.json"):
        load_base(ModelConfig(base=str(file), config=str(configs)))


def test_a_file_tunes_and_samples_as_its_folder(
    base_folder: Path, tmp_path: Path, frames: NDArray[np.uint8]
) -> None:
    file = write_checkpoint(base_folder, tmp_path / "all.safetensors")
    found = []
    for base in (
        load_base(ModelConfig(base=str(file), config=str(base_folder))),
        load_base(ModelConfig(base=str(base_folder))),
    ):
        result = tune(base, frames, "a red ball", TuneConfig(steps=2), seed=1)
        start = invert(
            base,
            torch.randn(4, 4, 4, 6, generator=torch.Generator().manual_seed(0)),
            InvertConfig(steps=2),
        )
        (latents,) = sample(base, start, ["a blue ball"], SampleConfig(steps=2))
        found.append((result.losses, latents))
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1])


def test_methods_on_images_load_a_file(base_folder: Path, tmp_path: Path) -> None:
    file = write_checkpoint(base_folder, tmp_path / "all.safetensors")
    config = ModelConfig(base=str(file), config=str(base_folder))
    one = load_image_base(config, frames_per_batch=1)
    assert_equal(one, load_image_base(ModelConfig(base=str(base_folder)), frames_per_batch=1))


@pytest.mark.parametrize("layout", ["folder", "base", "diffusers", "original", "whole file"])
def test_a_vae_of_ones_own(base_folder: Path, tmp_path: Path, layout: str) -> None:
    other = build_base_model(tmp_path / "other", seed=40)
    weights = other / "vae" / "diffusion_pytorch_model.safetensors"
    place = tmp_path / "vae.safetensors"
    if layout == "folder":
        place = other / "vae"
    elif layout == "base":
        place = other
    elif layout == "diffusers":
        shutil.copy(weights, place)
    elif layout == "original":
        save_file({n: t.contiguous() for n, t in vae_names(load_file(weights)).items()}, place)
    else:
        write_checkpoint(other, place)
    config = ModelConfig(base=str(base_folder), vae=str(place))
    base, wanted = load_base(config), load_base(ModelConfig(base=str(other)))
    plain = load_base(ModelConfig(base=str(base_folder)))
    for name, tensor in wanted.vae.state_dict().items():
        assert torch.equal(base.vae.state_dict()[name], tensor), name
    for name, tensor in plain.unet.state_dict().items():
        assert torch.equal(base.unet.state_dict()[name], tensor), name
    assert len({base.identity, wanted.identity, plain.identity}) == 3
    assert base_config(config, "vae")["latent_channels"] == 4
    check_base(find_base(config))


def test_a_file_without_a_vae_takes_one(base_folder: Path, tmp_path: Path) -> None:
    parts = ("unet", "text_encoder")
    file = write_checkpoint(base_folder, tmp_path / "all.safetensors", parts=parts)
    config = ModelConfig(base=str(file), config=str(base_folder))
    with pytest.raises(BaseModelError, match=r"holds no vae \(first_stage_model.*model\.vae"):
        load_base(config)
    assert_equal(
        load_base(dataclasses.replace(config, vae=str(base_folder / "vae"))),
        load_base(ModelConfig(base=str(base_folder))),
    )


WRONG = {
    "base.ckpt": "is a pickle, which can run code",
    "nowhere.safetensors": "is not there",
    "garbage.safetensors": "is no whole safetensors file",
    "lora.safetensors": r"is no base in one file: it holds .* A LoRA goes to model\.loras",
    "tiny.safetensors": "attends to text of width 32, Stable Diffusion 1.x to 768, 2.x to 1024",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_base_says_so(base_folder: Path, tmp_path: Path, name: str) -> None:
    write_checkpoint(base_folder, tmp_path / "tiny.safetensors")
    (tmp_path / "garbage.safetensors").write_bytes(b"no header")
    (tmp_path / "base.ckpt").write_bytes(b"\x80\x04.")
    save_file({"lora_unet_x.lora_up.weight": torch.zeros(1)}, tmp_path / "lora.safetensors")
    with pytest.raises(BaseModelError, match=WRONG[name]):
        find_base(ModelConfig(base=str(tmp_path / name)))
    with pytest.raises(BaseModelError):
        base_config(ModelConfig(base=str(tmp_path / name)), "unet")


def test_settings_that_do_not_go_together(base_folder: Path, tmp_path: Path) -> None:
    file = str(write_checkpoint(base_folder, tmp_path / "all.safetensors"))
    for config, message in {
        ModelConfig(base=str(base_folder), config="sd1"): r"is no file.*Remove model\.config",
        ModelConfig(base=file, config="sd1", revision="main"): "has no revision 'main'",
        ModelConfig(base=file, config="sd3"): "none of sd1, sd2, sd2_v. Did you mean 'sd",
        ModelConfig(base=str(base_folder), vae=file, vae_revision="main"): "vae .* has no revision",
        ModelConfig(base=str(base_folder), vae=str(tmp_path / "v.pt")): "model.vae .* is a pickle",
    }.items():
        with pytest.raises(BaseModelError, match=message):
            find_base(config)
    with pytest.raises(BaseModelError, match=r"all\.safetensors.* in all|does not go with"):
        load_base(ModelConfig(base=file, config="sd1"))


def header_only(path: Path, shapes: Mapping[str, tuple[int, ...]], **metadata: str) -> Path:
    """A file of the right size whose tensors are holes: of gigabytes nothing is written."""
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name, shape in shapes.items():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return path


@pytest.mark.parametrize(
    ("width", "metadata", "expected"),
    [
        (768, {}, "sd1"),
        (1024, {"modelspec.prediction_type": "epsilon"}, "sd2"),
        (1024, {"modelspec.prediction_type": "v"}, "sd2_v"),
        (1024, {}, "Set model.config to sd2 for the noise"),
        (2048, {}, "text of width 2048"),
    ],
)
def test_the_configs_are_those_that_the_file_calls_for(
    tmp_path: Path, width: int, metadata: dict[str, str], expected: str
) -> None:
    key = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    path = header_only(tmp_path / "x.safetensors", {key: (320, width)}, **metadata)
    if expected.startswith("sd"):
        assert config_folder(path, None) == CONFIGS / expected
    else:
        with pytest.raises(BaseModelError, match=expected):
            config_folder(path, None)


@pytest.mark.parametrize(
    ("name", "unet", "text"),
    [("sd1", 859_520_964, 123_060_480), ("sd2", 865_910_724, 340_387_840)],
)
def test_shipped_configs_are_the_published_models(name: str, unet: int, text: int) -> None:
    """Numbers of parameters that the published models are known by."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    def config(part: str) -> dict[str, object]:
        found: dict[str, object] = json.loads((CONFIGS / name / part / "config.json").read_text())
        return found

    def count(module: nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    with torch.device("meta"):
        assert count(UNet2DConditionModel.from_config(config("unet"))) == unet
        assert count(AutoencoderKL.from_config(config("vae"))) == 83_653_863
        assert count(CLIPTextModel(CLIPTextConfig.from_dict(config("text_encoder")))) == text


def test_the_tokenizer_without_files_is_clips() -> None:
    import open_clip

    ours = tokenizer_of({"model_max_length": 77, "pad_token": "<|endoftext|>"})
    theirs = open_clip.get_tokenizer("ViT-L-14")
    assert ours("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    for text in (
        "a man, surfing on MARS's 3rd ocean",
        "naïve café 日本 😀 don't",
        " spider-man  x",
    ):
        number = [int(one) for one in theirs(text)[0] if one]
        assert ours(text).input_ids == number
    padded = ours("a cat", padding="max_length", max_length=77).input_ids
    assert padded[4:] == [49407] * 73
    second = tokenizer_of({"model_max_length": 77, "pad_token": "!"})
    assert second("a cat", padding="max_length", max_length=77).input_ids[4:] == [0] * 73
