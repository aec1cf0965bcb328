"""Writes a base's folder as one file in the layout of the original Stable Diffusion code (LDM).

The way back of what diffusers converts, from its own tables of names where it has them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers.loaders.single_file_utils import DIFFUSERS_TO_LDM_MAPPING
from safetensors.torch import load_file, save_file
from torch import Tensor

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}
_OPENCLIP = {
    "encoder.layers.": "transformer.resblocks.",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn": "attn",
}


def write_checkpoint(
    folder: Path,
    path: Path,
    *,
    openclip: bool = False,
    metadata: Mapping[str, str] | None = None,
    parts: tuple[str, ...] = ("unet", "vae", "text_encoder"),
) -> Path:
    """Write a base's folder as one file.

    Args:
        folder: The base.
        path: The file.
        openclip: Name the text encoder's tensors as Stable Diffusion 2.x does.
        metadata: For the file's header.
        parts: What goes into it.
    """
    tensors: dict[str, Tensor] = {}
    for part in parts:
        state = load_file(next((folder / part).glob("*.safetensors")))
        config = json.loads((folder / part / "config.json").read_text(encoding="utf-8"))
        if part == "text_encoder":
            tensors |= _openclip_names(state) if openclip else _clip_names(state)
        elif part == "vae":
            tensors |= {f"first_stage_model.{n}": t for n, t in vae_names(state).items()}
        else:
            names = _unet_names(state, config)
            tensors |= {f"model.diffusion_model.{n}": t for n, t in names.items()}
    # What trainers leave in such files beside the model.
    tensors["model_ema.num_updates"] = torch.tensor(1, dtype=torch.int64)
    save_file({n: t.contiguous().clone() for n, t in tensors.items()}, path, dict(metadata or {}))
    return path


def vae_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A VAE's tensors under their original names, attention as convolutions of one pixel."""
    simple = DIFFUSERS_TO_LDM_MAPPING["vae"]
    levels = 1 + max(int(n.split(".")[2]) for n in state if n.startswith("encoder.down_blocks."))
    found = {}
    for name, tensor in state.items():
        new, value = simple.get(name), tensor
        if new is None:
            new = re.sub(r"down_blocks\.(\d+)\.resnets\.", r"down.\1.block.", name)
            new = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", new)
            new = re.sub(
                r"up_blocks\.(\d+)\.(resnets|upsamplers)",
                lambda m: f"up.{levels - 1 - int(m[1])}.{m[2]}",
                new,
            )
            new = new.replace(".resnets.", ".block.").replace("upsamplers.0", "upsample")
            new = re.sub(
                r"mid_block\.(?:resnets|block)\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", new
            )
            if "mid_block.attentions.0" in new:
                new = new.replace("mid_block.attentions.0", "mid.attn_1")
                for theirs, original in _VAE_ATTENTION.items():
                    new = new.replace(f".{theirs}.", f".{original}.")
                if tensor.ndim == 2:
                    value = tensor[:, :, None, None]
            new = new.replace("conv_shortcut", "nin_shortcut")
        found[new] = value
    return found


def _unet_names(state: Mapping[str, Tensor], config: Mapping[str, int]) -> dict[str, Tensor]:
    simple = DIFFUSERS_TO_LDM_MAPPING["unet"]["layers"]
    layers = config["layers_per_block"]
    found = {}
    for name, tensor in state.items():
        new = simple.get(name) or _unet_name(name, layers, state)
        found[new] = tensor
    return found


def _unet_name(name: str, layers: int, state: Mapping[str, Tensor]) -> str:
    parts = name.split(".")
    if parts[0] == "mid_block":
        place = {"resnets": 2 * int(parts[2]), "attentions": 1}[parts[1]]
        return f"middle_block.{place}.{_inside(parts[1], '.'.join(parts[3:]))}"
    block, kind, number, rest = int(parts[1]), parts[2], int(parts[3]), ".".join(parts[4:])
    if parts[0] == "down_blocks":
        first = 1 + block * (layers + 1)
        if kind == "downsamplers":
            return f"input_blocks.{first + layers}.0.{rest.replace('conv', 'op')}"
        sub = 0 if kind == "resnets" else 1
        return f"input_blocks.{first + number}.{sub}.{_inside(kind, rest)}"
    first = block * (layers + 1)
    if kind == "upsamplers":
        attended = any(n.startswith(f"up_blocks.{block}.attentions.") for n in state)
        return f"output_blocks.{first + layers}.{2 if attended else 1}.{rest}"
    sub = 0 if kind == "resnets" else 1
    return f"output_blocks.{first + number}.{sub}.{_inside(kind, rest)}"


def _inside(kind: str, rest: str) -> str:
    if kind != "resnets":
        return rest
    layer, _, end = rest.rpartition(".")
    return f"{_RESNET[layer]}.{end}"


def _clip_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = "cond_stage_model.transformer.text_model."
    found = {f"{start}{n.removeprefix('text_model.')}": t for n, t in state.items()}
    found[f"{start}embeddings.position_ids"] = torch.arange(77)[None]
    return found


def _openclip_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = "cond_stage_model.model."
    simple = {
        "embeddings.position_embedding.weight": "positional_embedding",
        "embeddings.token_embedding.weight": "token_embedding.weight",
        "final_layer_norm.weight": "ln_final.weight",
        "final_layer_norm.bias": "ln_final.bias",
    }
    found = {}
    for long, tensor in state.items():
        name = long.removeprefix("text_model.")
        if (joint := re.fullmatch(r"(.*self_attn\.)q_proj\.(weight|bias)", name)) is not None:
            beside = [state[long.replace("q_proj", f"{k}_proj")] for k in "qkv"]
            name, tensor = f"{joint[1]}in_proj_{joint[2]}", torch.cat(beside)  # noqa: PLW2901
        elif "k_proj" in name or "v_proj" in name:
            continue
        new = simple.get(name, name)
        for theirs, original in _OPENCLIP.items():
            new = new.replace(theirs, original)
        found[start + new] = tensor
    found[f"{start}attn_mask"] = torch.full((77, 77), float("-inf")).triu(1)
    return found
