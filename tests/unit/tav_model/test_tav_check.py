"""Everything that can be wrong with a base is one message that names it, before any work."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tav_model.check import check_base
from tav_model.config import ModelConfig
from tav_model.errors import BaseModelError
from tav_model.load import load_base

WEIGHTS = "diffusion_pytorch_model.safetensors"


def setting(name: str, **changes: Any) -> Callable[[Path], Any]:
    """Change keys of a config; None takes a key out."""

    def change(folder: Path) -> None:
        path = folder / name
        config = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))

    return change


def text(name: str, content: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_text(content)


def gone(*names: str) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        for name in names:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


@contextmanager
def editing(path: Path) -> Iterator[dict[str, torch.Tensor]]:
    state = load_file(path)
    yield state
    save_file(state, path, metadata={"format": "pt"})


def without(path: str, part: str) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        with editing(folder / path) as state:
            del state[next(name for name in state if part in name)]

    return change


def turned(path: str, part: str) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        with editing(folder / path) as state:
            name = next(n for n, t in state.items() if part in n and t.ndim == 2)
            state[name] = state[name].T.contiguous()[:-1].contiguous()

    return change


def nan(path: str) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        with editing(folder / path) as state:
            state[max(state)].view(-1)[-1] = float("nan")

    return change


def tokens(folder: Path) -> None:
    gone("tokenizer/tokenizer.json")(folder)
    (folder / "tokenizer" / "vocab.json").write_text("{}")


UNET, VAE, TEXT = "unet/config.json", "vae/config.json", "text_encoder/config.json"
TOKENIZER = "tokenizer/tokenizer_config.json"
SCHEDULER = "scheduler/scheduler_config.json"
KINDS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "unet folder": (gone("unet"), r"no config\.json in .*unet: the folder is not whole"),
    "vae folder": (gone("vae"), r"no config\.json in .*vae"),
    "text encoder folder": (gone("text_encoder"), r"no config\.json in .*text_encoder"),
    "tokenizer folder": (gone("tokenizer"), r"no tokenizer_config\.json in .*tokenizer"),
    "scheduler folder": (gone("scheduler"), r"no scheduler_config\.json in .*scheduler"),
    "no JSON": (text(UNET, "{"), "config.json cannot be read as JSON"),
    "no object": (text(VAE, "[]"), "holds a list and no JSON object"),
    "no UTF-8": (
        lambda f: (f / TEXT).write_bytes(b"\xff\xfe\0"),
        "cannot be read as JSON",
    ),
    "nested": (text(SCHEDULER, "[" * 100_000), "cannot be read as JSON"),
    "other unet class": (setting(UNET, _class_name="FluxTransformer2DModel"), "FluxTransformer"),
    "other vae class": (
        setting(VAE, _class_name="AutoencoderTiny"),
        "AutoencoderTiny.*AutoencoderKL",
    ),
    "other text class": (setting(TEXT, model_type="t5"), "model_type='t5'.*clip_text_model"),
    "other tokenizer": (setting(TOKENIZER, tokenizer_class="T5Tokenizer"), "'T5Tokenizer'"),
    "quantized": (setting(TEXT, quantization_config={"bits": 4}), "quantization_config=.*plain"),
    "inpainting": (setting(UNET, in_channels=9), "in_channels=9, but it must be 4.*inpainting"),
    "learned variance": (setting(UNET, out_channels=8), "out_channels=8, but it must be 4"),
    "16 latent channels": (setting(VAE, latent_channels=16), "in_channels=4, but it must be 16"),
    "shifted latents": (setting(VAE, shift_factor=0.1), "shift_factor=0.1"),
    "grey frames": (setting(VAE, in_channels=1), "in_channels=1, but it must be 3"),
    "no scale": (setting(VAE, scaling_factor=0), "scaling_factor=0.*above 0"),
    "text width": (setting(UNET, cross_attention_dim=768), "cross_attention_dim=768.*must be 32"),
    "class embeddings": (setting(UNET, class_embed_type="timestep"), "class_embed_type.*inflated"),
    "classes": (setting(UNET, num_class_embeds=1000), "num_class_embeds=1000"),
    "SDXL": (setting(UNET, addition_embed_type="text_time"), "addition_embed_type='text_time'"),
    "image prompts": (setting(UNET, encoder_hid_dim=64), "encoder_hid_dim=64"),
    "distilled guidance": (setting(UNET, time_cond_proj_dim=256), "time_cond_proj_dim=256"),
    "upscaler": (
        setting(UNET, only_cross_attention=[True, False, True, False]),
        "only_cross_attention=",
    ),
    "two texts": (setting(UNET, dual_cross_attention=True), "dual_cross_attention=True"),
    "grounded": (setting(UNET, attention_type="gated"), "attention_type='gated'.*'default'"),
    "other norm": (setting(UNET, resnet_time_scale_shift="ada_group"), "resnet_time_scale_shift"),
    "other blocks": (
        setting(UNET, down_block_types=["DownBlock2D", "AttnDownBlock2D"] * 2),
        "AttnDownBlock2D",
    ),
    "blocks are no list": (setting(UNET, up_block_types="UpBlock2D"), "up_block_types='UpBlock2D'"),
    "blocks too few": (setting(UNET, down_block_types=["DownBlock2D"]), "one for each of the 4"),
    "key missing": (setting(UNET, block_out_channels=None), "block_out_channels=None"),
    "key missing in text": (setting(TEXT, hidden_size=None), "hidden_size=None"),
    "key of another type": (setting(VAE, layers_per_block="two"), "layers_per_block='two'"),
    "impossible groups": (setting(UNET, norm_num_groups=7), "unet do not fit its config.json"),
    "no limit": (setting(TOKENIZER, model_max_length=None), "model_max_length=None.*77 tokens"),
    "too long": (setting(TOKENIZER, model_max_length=512), "model_max_length=512.*77 tokens"),
    "no merges": (tokens, "neither tokenizer.json nor both of vocab.json and merges.txt"),
    "tokenizer damaged": (text("tokenizer/tokenizer.json", "{}"), "tokenizer is no tokenizer"),
    "more tokens": (
        setting(TEXT, vocab_size=5),
        "tokenizer has .* tokens, but the text encoder knows 5",
    ),
    "spacing": (setting(SCHEDULER, timestep_spacing="linspace"), "linspace"),
    "no weights": (gone(f"unet/{WEIGHTS}"), f"no {WEIGHTS}"),
    "weights of another shape": (
        setting(UNET, block_out_channels=[16, 32, 32, 64]),
        "unet do not fit its config.json",
    ),
    "unet lacks a tensor": (without(f"unet/{WEIGHTS}", "mid_block"), "unet do not fit.*mid_block"),
    "vae lacks a tensor": (without(f"vae/{WEIGHTS}", "decoder.conv_in"), "vae do not.*conv_in"),
    "text lacks a tensor": (
        without("text_encoder/model.safetensors", "token_embedding"),
        "text_encoder do not fit.*token_embedding",
    ),
    "unet turned": (turned(f"unet/{WEIGHTS}", "attn1.to_k"), "unet do not fit.*attn1.to_k"),
    "vae turned": (turned(f"vae/{WEIGHTS}", "to_q"), "vae do not fit.*to_q"),
    "text turned": (
        turned("text_encoder/model.safetensors", "fc1"),
        "text_encoder do not fit.*fc1",
    ),
    "unet NaN": (nan(f"unet/{WEIGHTS}"), f"unet/{WEIGHTS} holds NaN or infinity in up_blocks"),
    "vae NaN": (nan(f"vae/{WEIGHTS}"), f"vae/{WEIGHTS} holds NaN"),
    "text NaN": (nan("text_encoder/model.safetensors"), "text_encoder/.* holds NaN"),
}


def test_a_whole_base_passes(base_folder: Path, velocity_folder: Path) -> None:
    check_base(base_folder)
    check_base(velocity_folder)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_wrong_is_one_message(base_folder: Path, tmp_path: Path, kind: str) -> None:
    change, message = KINDS[kind]
    folder = Path(shutil.copytree(base_folder, tmp_path / "base"))
    change(folder)
    with pytest.raises(BaseModelError, match=message) as caught:
        check_base(folder)
    assert len(str(caught.value)) < 1000
    if "NaN" not in kind:  # the same where a worker meets it
        with pytest.raises(BaseModelError, match=message):
            load_base(ModelConfig(base=str(folder)))


def test_an_official_video_unet_passes(base_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(base_folder, tmp_path / "base"))
    state = load_base(ModelConfig(base=str(folder))).unet.state_dict()
    save_file({n: t.contiguous() for n, t in state.items()}, folder / "unet" / WEIGHTS)
    config = (folder / UNET).read_text().replace("2D", "3D")
    (folder / UNET).write_text(config)
    check_base(folder)
    without(f"unet/{WEIGHTS}", "attn_temp.to_q")(folder)
    with pytest.raises(BaseModelError, match=r"attn_temp\.to_q"):
        check_base(folder)
