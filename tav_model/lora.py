"""LoRA files (arXiv 2106.09685) onto a base's weights: W + weight · (alpha / rank) · up @ down.

Merged, a LoRA costs nothing afterwards, and what is inflated and tuned is one model. Read are the
names that diffusers and peft write, and those of kohya's sd-scripts; convolutions (LoCon), too.
Loads no torch but where tensors are merged.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tav_model.config import LoraConfig
from tav_model.errors import BaseModelError
from tav_model.single_file import weights_file
from tav_model.weights import Weights, tensors

if TYPE_CHECKING:
    from torch import Tensor

PARTS = ("unet", "text_encoder")
_ROLES = {
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora.down.weight": "down",
    ".lora.up.weight": "up",
    ".lora_linear_layer.down.weight": "down",
    ".lora_linear_layer.up.weight": "up",
    "_lora.down.weight": "down",
    "_lora.up.weight": "up",
    ".lora_down.weight": "down",
    ".lora_up.weight": "up",
    ".lora_mid.weight": "mid",
    ".alpha": "alpha",
}
"""What a tensor is, by the end of its name: peft's, diffusers' former ones, kohya's."""
_PLACES = {
    "lora_unet_": "unet",
    "lora_te_": "text_encoder",
    "unet.": "unet",
    "text_encoder.": "text_encoder",
    "base_model.model.": "unet",
}
"""Whose weight it changes, by the name's beginning; without any it is the UNet's."""
_OTHERS = ("lora_te1_", "lora_te2_", "text_encoder_2.", "transformer.", "lora_transformer_")
_METADATA = "lora_adapter_metadata"
"""Where diffusers keeps peft's settings in the file's header."""


@dataclass(slots=True)
class _Layer:
    """The tensors that change one weight, by role: their names, and their shapes."""

    names: dict[str, str] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lora:
    """What a file changes, by its header."""

    path: Path
    layers: dict[tuple[str, str], _Layer]
    """By part, and the weight's name with underscores for dots."""
    settings: Mapping[str, Any]
    """Of peft, as diffusers wrote them; empty otherwise."""


def read_lora(path: str) -> Lora:
    """Read a LoRA's header.

    Args:
        path: The file.

    Raises:
        BaseModelError: it is not there, a pickle, damaged, or no LoRA of a kind that is read.
    """
    file = weights_file("LoRA", path)
    layers: dict[tuple[str, str], _Layer] = {}
    for name, _, view in tensors(Weights((file,), None, {})):
        place, role = _place(file, name)
        layer = layers.setdefault(place, _Layer())
        if role in layer.names:
            msg = f"LoRA {file} has two tensors for one weight: {layer.names[role]} and {name}."
            raise BaseModelError(msg)
        layer.names[role], layer.shapes[role] = name, tuple(view.get_shape())
    for layer in layers.values():
        if missing := {"down", "up"} - layer.names.keys():
            name = next(iter(layer.names.values()))
            msg = f"LoRA {file} has {name}, but not the {missing.pop()} that belongs to it."
            raise BaseModelError(msg)
    if not layers:
        raise BaseModelError(f"LoRA {file} holds no tensor. Copy or download it again.")
    return Lora(file, layers, _settings(file))


def merge_loras(
    part: str, state: "Mapping[str, Tensor]", loras: Sequence[LoraConfig]
) -> "dict[str, Tensor]":
    """Merge LoRAs into the weights of one part, in order.

    Args:
        part: `unet` or `text_encoder`.
        state: The part's weights by name.
        loras: Files and their weights; of weight 0 none changes a bit.

    Returns:
        The weights; those that a LoRA changes are fp32, the others as they were.

    Raises:
        BaseModelError: a file is unusable, or changes what the part does not have.
    """
    out = dict(state)
    index = _index(part, state)
    for one in loras:
        lora = read_lora(one.path)
        chosen = {name: layer for (of, name), layer in lora.layers.items() if of == part}
        targets = {name: _target(lora, part, name, index) for name in chosen}
        if len(set(targets.values())) < len(targets):
            msg = f"LoRA {lora.path} names one weight of the {part} in two ways. Take another."
            raise BaseModelError(msg)
        for name, layer in chosen.items():
            _check_shapes(lora, layer, targets[name], tuple(state[targets[name]].shape))
        if one.weight:
            layers = {targets[name]: layer for name, layer in chosen.items()}
            _merge(out, lora, part, layers, one.weight)
    return out


def _place(file: Path, name: str) -> tuple[tuple[str, str], str]:
    """The weight that a tensor changes, and its role there."""
    ending = next((end for end in _ROLES if name.endswith(end)), None)
    if ending is None or name.startswith(_OTHERS):
        what = "another kind of model's" if name.startswith(_OTHERS) else "none of a LoRA's"
        msg = (
            f"LoRA {file} holds {name}, which is {what}. Read are low-rank pairs of the UNet and "
            "the text encoder of Stable Diffusion 1.x and 2.x, such as unet.….to_q.lora_A.weight "
            "or lora_unet_…_to_q.lora_down.weight, and not LoHa, LoKr or DoRA."
        )
        raise BaseModelError(msg)
    begin = next((start for start in _PLACES if name.startswith(start)), "")
    part = _PLACES.get(begin, "unet")
    stem = name.removeprefix(begin).removesuffix(ending).replace(".processor", "")
    return (part, _flat(stem)), _ROLES[ending]


def _flat(name: str) -> str:
    """A weight's name as kohya writes it; transformers 5 dropped the text model's prefix."""
    return name.replace(".", "_").removeprefix("text_model_")


def _index(part: str, state: "Mapping[str, Tensor]") -> dict[str, str]:
    """Weights of layers by their flat names; those of norms are no matrices."""
    names = [n for n, tensor in state.items() if n.endswith(".weight") and tensor.ndim > 1]
    found = {_flat(n.removesuffix(".weight")): n for n in names}
    if part == "unet":  # diffusers' first LoRAs call the output layer by its list
        found |= {flat.removesuffix("_0"): n for flat, n in found.items() if "to_out_0" in flat}
    return found


def _target(lora: Lora, part: str, name: str, index: Mapping[str, str]) -> str:
    if name in index:
        return index[name]
    shown = next(iter(lora.layers[part, name].names.values()))
    msg = (
        f"LoRA {lora.path} changes {name} of the {part} ({shown}), which this base does not have. "
        "It is of another kind of base: take one for this, or the base that it was made for."
    )
    raise BaseModelError(msg)


def _check_shapes(lora: Lora, layer: _Layer, target: str, shape: tuple[int, ...]) -> None:
    """Hold a pair against the weight (out, in, kernel) that it changes."""
    rank = (layer.shapes["down"] or (0,))[0]
    wanted = _shapes(rank, shape, core="mid" in layer.shapes)
    for role, found in layer.shapes.items():
        if found not in wanted[role] or not rank:
            limit = " or ".join(map(str, sorted(wanted[role]))) or "none"
            msg = (
                f"LoRA {lora.path} has {layer.names[role]} of shape {found}, but {target} is "
                f"{shape} and needs {limit}. It is of another kind of base: take one for this."
            )
            raise BaseModelError(msg)


def _shapes(rank: int, shape: tuple[int, ...], *, core: bool) -> dict[str, set[tuple[int, ...]]]:
    """The shapes that each tensor of a pair may have."""
    out, into, *kernel = shape
    ones = [1] * len(kernel)
    down = {(rank, into, *(ones if core else kernel))}
    if kernel == ones:  # a convolution of one pixel is a linear layer
        down |= {(rank, into), (rank, into, 1, 1)}
    mid = {(rank, rank, *kernel)} if kernel else set()
    return {"down": down, "up": {(out, rank), (out, rank, 1, 1)}, "mid": mid, "alpha": {(), (1,)}}


def _merge(
    out: "dict[str, Tensor]", lora: Lora, part: str, layers: Mapping[str, _Layer], weight: float
) -> None:
    import torch  # noqa: PLC0415 (headers are read without)
    from safetensors import safe_open  # noqa: PLC0415

    with safe_open(lora.path, framework="pt") as file:
        for target, layer in layers.items():
            found = {role: file.get_tensor(name).float() for role, name in layer.names.items()}
            old = out[target].float()
            down, up = found["down"].flatten(1), found["up"].flatten(1)
            if "mid" in found:  # LoCon's core: up, mid and down in turn, over the kernel
                update = torch.einsum("or,rskl,si->oikl", up, found["mid"], down)
            else:
                update = up @ down
            scale = _scale(lora, f"{part}.{target}", down.shape[0], found.get("alpha"))
            out[target] = old + (weight * scale) * update.reshape(old.shape)
            if not bool(torch.isfinite(out[target]).all()):
                msg = (
                    f"LoRA {lora.path} makes {target} NaN or infinite: it is damaged, or its "
                    f"weight of {weight} too large. Copy or download it again."
                )
                raise BaseModelError(msg)


def _scale(lora: Lora, target: str, rank: int, alpha: "Tensor | None") -> float:
    """Alpha over rank; a file that says no alpha was saved with alpha = rank."""
    if alpha is not None:
        return float(alpha.reshape(())) / rank
    module = target.removesuffix(".weight")
    part = module.partition(".")[0]

    def said(name: str) -> Any:
        return lora.settings.get(f"{part}.{name}", lora.settings.get(name))

    try:
        patterns = dict(said("alpha_pattern") or {})
        own = [value for name, value in patterns.items() if f".{module}".endswith(f".{name}")]
        value = float(own[0] if own else said("lora_alpha") or rank)
    except (ValueError, TypeError) as err:
        msg = f"LoRA {lora.path} says in its header what is no alpha ({err}). Take another."
        raise BaseModelError(msg) from err
    return value / math.sqrt(rank) if said("use_rslora") else value / rank


def _settings(file: Path) -> Mapping[str, Any]:
    from safetensors import safe_open  # noqa: PLC0415

    with safe_open(file, framework="np") as opened:
        text = (opened.metadata() or {}).get(_METADATA, "{}")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise BaseModelError(f"LoRA {file} has {_METADATA} that is no JSON ({err}).") from err
    return document if isinstance(document, dict) else {}
