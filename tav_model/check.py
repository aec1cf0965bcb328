"""Whether a base model can be used, seen before any clip is."""

from pathlib import Path

import torch
from safetensors import safe_open

from tav_model.base import BaseFiles, files_of
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
from tav_model.parts import check_parts
from tav_model.unet import build_unet
from tav_model.weights import Weights, tensors

_INFINITE = ".attn_mask"
"""End of a tensor of open_clip's text encoder that is minus infinity by purpose."""


def check_base(base: BaseFiles | Path) -> None:
    """Load all parts of a base model, but of a folder's UNet one tensor at a time.

    What passes here is loaded by `load_base` wherever its memory is enough.

    Args:
        base: a base model's files, or its folder.

    Raises:
        BaseModelError: a part is missing, damaged, of another family or of another model, a LoRA
            changes what is not there, or a weight is NaN or infinite.
    """
    files = files_of(base)
    check_parts(files.configs())
    found = [files.weights(part) for part in STEMS]
    load_scheduler(files)
    load_tokenizer(files)
    load_text_encoder(files, torch.float32)
    load_vae(files, torch.float32)
    _check_unet(files)
    for weights in found:  # LoRAs are looked at as they are merged
        _check_finite(weights)


def _check_unet(files: BaseFiles) -> None:
    """Hold names and shapes against the inflated UNet's; an image model has no temporal ones."""
    with fitting(*files.places("unet")):
        unet = build_unet(
            files.config("unet"),
            attention_mode="sparse_causal",
            attention_backend="native",
        )
    if files.as_stored("unet"):
        shapes = {n: view.get_shape() for n, _, view in tensors(files.weights("unet"))}
        state = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    else:
        state = files.state("unet")
    if not any(".attn_temp." in name for name in state):
        own = unet.state_dict().items()
        state |= {n: t for n, t in own if ".attn_temp." in n or ".norm_temp." in n}
    with fitting(*files.places("unet")):
        check_fit(unet, state)


def _check_finite(weights: Weights) -> None:
    for path in weights.files:
        wanted = [name for name, file in weights.shards.items() if file == path]
        with safe_open(path, framework="pt") as file:
            for name in wanted or file.keys():
                if name.endswith(_INFINITE):
                    continue
                if not bool(torch.isfinite(file.get_tensor(name)).all()):
                    msg = (
                        f"{path} holds NaN or infinity in {name}: the model is damaged. Copy or "
                        "download it again."
                    )
                    raise BaseModelError(msg)
