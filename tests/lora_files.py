"""LoRA files in the styles that people's tools write, for any base in the diffusers layout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

STYLES = ("peft", "diffusers", "processors", "unet alone", "kohya")
RANK, ALPHA = 3, 2.0


def weights_of(folder: Path, part: str) -> dict[str, Tensor]:
    """A part's weights as its file names them."""
    return load_file(next((folder / part).glob("*.safetensors")))


def targets(folder: Path, part: str, *, convolutions: bool = True) -> dict[str, Tensor]:
    """The weights that a LoRA may change: those of linear layers and of convolutions."""
    return {
        name.removesuffix(".weight"): tensor
        for name, tensor in weights_of(folder, part).items()
        if name.endswith(".weight") and "embedding" not in name
        if tensor.ndim == 2 or (tensor.ndim == 4 and convolutions)
    }


def random_pairs(
    layers: Mapping[str, Tensor], *, seed: int = 0, core: bool = False
) -> dict[str, dict[str, Tensor]]:
    """Matrices down, up (and a core) for each layer."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return 0.1 * torch.randn(*shape, generator=generator)

    found = {}
    for name, weight in layers.items():
        out, into, *kernel = weight.shape
        ones = [1] * len(kernel)
        pair = {"down": draw(RANK, into, *(ones if core else kernel)), "up": draw(out, RANK, *ones)}
        found[name] = pair | ({"mid": draw(RANK, RANK, *kernel)} if core and kernel else {})
    return found


def named(pairs: Mapping[str, Mapping[str, Tensor]], part: str, style: str) -> dict[str, Tensor]:
    """The tensors of a file of this style."""
    found: dict[str, Tensor] = {}
    for layer, pair in pairs.items():
        if style == "kohya":
            prefix = "lora_unet_" if part == "unet" else "lora_te_"
            body = layer if part == "unet" else f"text_model.{layer.removeprefix('text_model.')}"
            stem = prefix + body.replace(".", "_")
            found |= {f"{stem}.lora_{role}.weight": tensor for role, tensor in pair.items()}
            found[f"{stem}.alpha"] = torch.tensor(ALPHA)
            continue
        first = "" if style == "unet alone" else f"{part}."
        if style in ("peft", "unet alone"):
            stem, ends = f"{first}{layer}", (".lora_A.weight", ".lora_B.weight")
        elif style == "processors" and part == "unet" and ".attn" in layer:
            block, _, projection = layer.removesuffix(".0").rpartition(".")
            stem = f"{first}{block}.processor.{projection}"
            ends = ("_lora.down.weight", "_lora.up.weight")
        elif part == "unet":
            stem, ends = f"{first}{layer}", (".lora.down.weight", ".lora.up.weight")
        else:
            stem = f"{first}{layer}"
            ends = (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight")
        found |= {f"{stem}{ends[0]}": pair["down"], f"{stem}{ends[1]}": pair["up"]}
    return found


def write_lora(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> Path:
    """Write the file."""
    save_file({n: t.contiguous() for n, t in tensors.items()}, path, dict(metadata or {}))
    return path


def full_lora(folder: Path, path: Path, style: str = "kohya", *, seed: int = 0) -> Path:
    """A LoRA of every layer of UNet and text encoder (of the UNet alone where the style is)."""
    parts = ("unet",) if style == "unet alone" else ("unet", "text_encoder")
    tensors: dict[str, Tensor] = {}
    for number, part in enumerate(parts):
        pairs = random_pairs(targets(folder, part), seed=seed + number)
        tensors |= named(pairs, part, style)
    return write_lora(path, tensors)
