"""What the configs of a base model's parts must say, each alone and together. Loads no torch.

A diffusion UNet, its VAE, its text encoder with the tokenizer, and its noise schedule are separate
folders that anybody can combine; nothing but these checks sees whether they belong together.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from tav_model.errors import BaseModelError
from tav_model.schedule import SCHEDULER_FILE, schedule_settings

TOKENIZER_FILE = "tokenizer/tokenizer_config.json"
CONFIG_FILES = {
    "unet": "unet/config.json",
    "vae": "vae/config.json",
    "text_encoder": "text_encoder/config.json",
    "scheduler": SCHEDULER_FILE,
    "tokenizer": TOKENIZER_FILE,
}
"""The config of each part, by its place in the folder."""

_BLOCKS = {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
_STOCK: dict[str, tuple[Any, ...]] = {
    "mid_block_type": ("UNetMidBlock2DCrossAttn",),
    "class_embed_type": (),
    "num_class_embeds": (),
    "addition_embed_type": (),
    "encoder_hid_dim": (),
    "encoder_hid_dim_type": (),
    "time_cond_proj_dim": (),
    "num_attention_heads": (),
    "dual_cross_attention": (False,),
    "only_cross_attention": (False,),
    "mid_block_only_cross_attention": (False,),
    "cross_attention_norm": (),
    "attention_type": ("default",),
    "resnet_time_scale_shift": ("default", "scale_shift"),
    "resnet_out_scale_factor": (1,),
    "resnet_skip_time_act": (False,),
    "mid_block_scale_factor": (1,),
    "class_embeddings_concat": (False,),
}
"""Values, beside null, of the keys that give a UNet inputs or layers that inflation leaves out."""
_LATENT: dict[str, tuple[Any, ...]] = {
    "shift_factor": (),
    "latents_mean": (),
    "latents_std": (),
    "in_channels": (3,),
    "out_channels": (3,),
}
"""Likewise of the VAE: latents are scaled by one factor, frames are RGB."""
_CLASSES = {
    "unet": ("_class_name", "UNet2DConditionModel", "UNet3DConditionModel"),
    "vae": ("_class_name", "AutoencoderKL"),
    "text_encoder": ("model_type", "clip_text_model"),
    "tokenizer": ("tokenizer_class", "CLIPTokenizer", "CLIPTokenizerFast"),
}
"""The key that names a part's class, and the classes that will do."""
_NUMBERS = {
    "unet": ("in_channels", "out_channels", "norm_num_groups"),
    "vae": ("latent_channels", "layers_per_block", "in_channels", "out_channels"),
    "text_encoder": (
        *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
        *("vocab_size", "max_position_embeddings"),
    ),
}
"""Keys that must be there, or the libraries would fill them in in silence."""
_DEFAULTS: dict[str, Any] = {"norm_num_groups": 32, "num_attention_heads": 8}
"""The libraries' own, of keys that files may leave out."""
_WORDS = ("tokenizer.json",), ("vocab.json", "merges.txt")
_USE = "Use a base of the kind of Stable Diffusion 1.x or 2.x"
_REPAIR = "Copy or download it again"


def read_config(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        BaseModelError: there is no such file, or it holds no JSON object.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as err:
        msg = (
            f"no {path.name} in {path.parent}: the folder is not whole, or not in the Stable "
            f"Diffusion layout. {_REPAIR}, or name another."
        )
        raise BaseModelError(msg) from err
    except (OSError, ValueError, RecursionError) as err:
        msg = f"{path} cannot be read as JSON ({err}). {_REPAIR}."
        raise BaseModelError(msg) from err
    if not isinstance(document, dict):
        msg = f"{path} holds a {type(document).__name__} and no JSON object. {_REPAIR}."
        raise BaseModelError(msg)
    return document


def model_file(model: str, revision: str | None, name: str) -> dict[str, Any]:
    """Read a JSON object of a model; of a hub model this file alone is downloaded.

    Args:
        model: folder or hub id.
        revision: branch, tag or commit of a hub id.
        name: the file's place in the model.

    Raises:
        BaseModelError: there is no such file, or it holds no JSON object.
        OSError, ValueError: the hub does not give it.
    """
    if Path(model).is_dir():
        return read_config(Path(model, name))
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 (heavy, and only needed here)

    return read_config(Path(hf_hub_download(model, name, revision=revision)))


def check_vocabulary(folder: Path) -> None:
    """Refuse a tokenizer's folder without its words, which the libraries may load as empty.

    Raises:
        BaseModelError: there is neither tokenizer.json nor both of vocab.json and merges.txt.
    """
    if not any(all((folder / name).is_file() for name in names) for names in _WORDS):
        msg = (
            f"{folder} has neither tokenizer.json nor both of vocab.json and merges.txt. {_REPAIR}."
        )
        raise BaseModelError(msg)


def check_parts(configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a base model whose parts the method cannot use, or that do not fit each other.

    Args:
        configs: Contents of the files in ``CONFIG_FILES``, by part.

    Raises:
        BaseModelError: names part, key, value, what is needed and the remedy.
    """
    for part in _CLASSES:
        _check_class(part, configs[part])
    stock_config(configs["unet"])
    for part in _NUMBERS:
        _check_numbers(part, configs[part])
    _check_values("vae", configs["vae"], _LATENT)
    _check_channels(configs["unet"], configs["vae"])
    _check_text(configs["unet"], configs["text_encoder"], configs["tokenizer"])
    schedule_settings(configs["scheduler"])


def stock_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Turn an official Tune-A-Video UNet config into the stock 2D one it was inflated from.

    Args:
        config: contents of a config.json.

    Returns:
        The config with 2D block names; private keys (`_...`) are dropped.

    Raises:
        BaseModelError: the config asks for parts that Stable Diffusion 1.x and 2.x UNets do not
            have.
    """
    out = {k: v for k, v in config.items() if not k.startswith("_")}
    for key, known in _BLOCKS.items():
        if not _is_list(names := out.get(key), str):
            raise _refused("unet", key, names, f"a list of {' and '.join(known)}")
        out[key] = [name.replace("3D", "2D") for name in names]
        if unknown := sorted(set(out[key]) - set(known)):
            raise _refused("unet", key, unknown, f"only {', '.join(known)}, to be inflated")
    if isinstance(mid := out.get("mid_block_type", "UNetMidBlock2DCrossAttn"), str):
        out["mid_block_type"] = mid.replace("3D", "2D")
    if mid is None:
        raise _refused("unet", "mid_block_type", mid, "UNetMidBlock2DCrossAttn, to be inflated")
    _check_values("unet", out, _STOCK, ", to be inflated")
    return out


def _check_class(part: str, config: Mapping[str, Any]) -> None:
    if (quantized := config.get("quantization_config")) is not None:
        raise _refused(part, "quantization_config", quantized, "absent: weights must be plain")
    key, *classes = _CLASSES[part]
    if (kind := config.get(key)) is not None and kind not in classes:
        raise _refused(part, key, kind, " or ".join(classes))


def _check_values(
    part: str, config: Mapping[str, Any], allowed: Mapping[str, tuple[Any, ...]], why: str = ""
) -> None:
    for key, values in allowed.items():
        found = config.get(key)
        each = found if isinstance(found, list | tuple) else [found]
        if any(one is not None and one not in values for one in each):
            limit = " or ".join(map(repr, values)) if values else "absent or null"
            raise _refused(part, key, found, limit + why)


def _check_numbers(part: str, config: Mapping[str, Any]) -> None:
    """Look at what the cost model and the libraries reckon with."""
    config = _DEFAULTS | dict(config)
    for key in _NUMBERS[part]:
        if not _is_count(value := config.get(key)):
            raise _refused(part, key, value, "a number from 1 on", _REPAIR)
    if part == "text_encoder":
        return
    if not _is_list(channels := config.get("block_out_channels"), int):
        raise _refused(part, "block_out_channels", channels, "a list of numbers", _REPAIR)
    if part == "vae":
        return
    for key in ("down_block_types", "up_block_types"):
        if len(config[key]) != len(channels):
            limit = f"one for each of the {len(channels)} block_out_channels"
            raise _refused(part, key, config[key], limit, _REPAIR)
    for key in ("layers_per_block", "attention_head_dim", "cross_attention_dim"):
        if not _is_count(value := config.get(key)) and not (
            _is_list(value, int) and len(value) == len(channels)
        ):
            limit = f"a number from 1 on, or {len(channels)} of them"
            raise _refused(part, key, value, limit, _REPAIR)


def _check_channels(unet: Mapping[str, Any], vae: Mapping[str, Any]) -> None:
    latent = vae["latent_channels"]
    for key in ("in_channels", "out_channels"):
        if unet[key] != latent:
            raise _refused(
                "unet",
                key,
                unet[key],
                f"{latent}, the vae's latent_channels",
                "A UNet with more inputs is one for inpainting, depth or instructions, with more "
                f"outputs one that learns its variance. {_USE}",
            )
    scale = vae.get("scaling_factor", 1.0)
    if type(scale) not in (int, float) or not 0 < scale < math.inf:
        raise _refused("vae", "scaling_factor", scale, "above 0", _REPAIR)


def _check_text(
    unet: Mapping[str, Any], text: Mapping[str, Any], tokenizer: Mapping[str, Any]
) -> None:
    wanted, width = unet["cross_attention_dim"], text["hidden_size"]
    if any(one != width for one in ([wanted] if _is_count(wanted) else wanted)):
        raise _refused(
            "unet",
            "cross_attention_dim",
            wanted,
            f"{width}, the text encoder's hidden_size",
            "These two are of different models. Take both from one",
        )
    limit, length = text["max_position_embeddings"], tokenizer.get("model_max_length")
    if not _is_count(length) or length > limit:
        raise BaseModelError(
            f"{TOKENIZER_FILE} has model_max_length={length!r}, but the text encoder reads "
            f"{limit} tokens (max_position_embeddings). Set it to {limit}, or take both from one "
            "model."
        )


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 1


def _is_list(value: object, kind: type) -> TypeGuard[Sequence[Any]]:
    if not isinstance(value, list | tuple):
        return False
    return bool(value) and all(type(one) is kind for one in value)


def _refused(part: str, key: str, value: object, limit: str, remedy: str = _USE) -> BaseModelError:
    return BaseModelError(
        f"{CONFIG_FILES[part]} has {key}={value!r}, but it must be {limit}. {remedy}."
    )
