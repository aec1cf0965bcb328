"""Which CLIP models are taken, by their configs alone. Loads no torch.

They are open_clip's vision transformers, read from safetensors alone and whole: a config may not
name files elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from methods.video_parts import own_config

CONFIG_NAME = "open_clip_config.json"
STEM = "open_clip_model"
"""What the file of weights is called without its ending."""


def check_config(setting: str, model: str, revision: str | None) -> None:
    """Refuse what is no vision transformer of open_clip's own, or is not whole, by its config.

    Args:
        setting: What the user calls the model.
        model: Folder or hub id.
        revision: Of a hub id.

    Raises:
        ValueError: names what is wrong and the remedy.
    """
    where = f"{setting} {model!r}"
    config = own_config(where, model, revision, CONFIG_NAME)
    try:
        problems = _problems(config)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{where}: {CONFIG_NAME} holds no model_cfg with vision_cfg and text_cfg "
            f"({type(error).__name__}: {error}): copy or download the model again"
        ) from error
    if problems:
        raise ValueError(
            f"{where} has {', '.join(problems)}, but a vision transformer of open_clip's own is "
            "needed, with all of its files: use such as timm/vit_base_patch32_clip_224.openai"
        )


def _problems(config: Mapping[str, Any]) -> list[str]:
    """What is another architecture, would run a model's code, or lies outside of the model."""
    vision, text = (dict(config["model_cfg"][name]) for name in ("vision_cfg", "text_cfg"))
    found = {
        "timm_model_name": vision.get("timm_model_name"),
        "hf_model_name": text.get("hf_model_name"),
        "bpe_path": (text.get("tokenizer_kwargs") or {}).get("bpe_path"),
        "trust_remote_code": "trust_remote_code" in json.dumps(config),
        "layers": None if isinstance(vision["layers"], int) else vision["layers"],
    }
    return [f"{name}={value!r}" for name, value in found.items() if value]
