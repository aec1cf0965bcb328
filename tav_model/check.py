"""Whether a base model's folder can be used, seen before any clip is."""

from pathlib import Path

import torch
from safetensors import safe_open

from tav_model.errors import BaseModelError
from tav_model.identity import STEMS
from tav_model.load_parts import (
    check_fit,
    fitting,
    load_scheduler,
    load_text_encoder,
    load_tokenizer,
    load_vae,
)
from tav_model.parts import check_folder_configs, read_config
from tav_model.unet import build_unet
from tav_model.weights import Weights, tensors, weight_files


def check_base(folder: Path) -> None:
    """Load all parts of a base model, but of the UNet one tensor at a time.

    What passes here is loaded by `load_base` wherever its memory is enough.

    Args:
        folder: a base model's folder.

    Raises:
        BaseModelError: a part is missing, damaged, of another family or of another model, or a
            weight is NaN or infinite.
    """
    check_folder_configs(folder)
    found = {part: weight_files(folder / part, stem) for part, stem in STEMS.items()}
    load_scheduler(folder)
    load_tokenizer(folder)
    load_text_encoder(folder, torch.float32)
    load_vae(folder, torch.float32)
    _check_unet(folder / "unet", found["unet"])
    for weights in found.values():
        _check_finite(weights)


def _check_unet(folder: Path, weights: Weights) -> None:
    """Hold names and shapes against the inflated UNet's; an image model has no temporal ones."""
    with fitting(folder):
        unet = build_unet(
            read_config(folder / "config.json"),
            attention_mode="sparse_causal",
            attention_backend="native",
        )
    state = {
        name: torch.empty(view.get_shape(), device="meta") for name, _, view in tensors(weights)
    }
    if not any(".attn_temp." in name for name in state):
        own = unet.state_dict().items()
        state |= {n: t for n, t in own if ".attn_temp." in n or ".norm_temp." in n}
    with fitting(folder):
        check_fit(unet, state)


def _check_finite(weights: Weights) -> None:
    for path in weights.files:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (it is no mapping)
                if not bool(torch.isfinite(file.get_tensor(name)).all()):
                    msg = (
                        f"{path} holds NaN or infinity in {name}: the model is damaged. Copy or "
                        "download it again."
                    )
                    raise BaseModelError(msg)
