"""A folder of values recorded from official metrics' code, with its frames, flows and models."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as nnf

Frames = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating[Any]]

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def read_image(path: Path) -> Frames:
    return np.asarray(Image.open(path).convert("RGB"))


def read_frames(folder: Path) -> Frames:
    return np.stack([read_image(path) for path in sorted(folder.glob("*.png"))])


class GoldenClip:
    """A transformers CLIPModel folder, as the official scripts take it."""

    def __init__(self, folder: Path) -> None:
        from transformers import CLIPModel, CLIPProcessor

        self.model = CLIPModel.from_pretrained(folder).eval()
        self.processor = CLIPProcessor.from_pretrained(folder, use_fast=False)
        self.scale = float(self.model.logit_scale.detach().exp())

    def pooled(self, frames: Sequence[Frames]) -> Floats:
        with torch.no_grad():
            pixels = self.processor(images=list(frames), return_tensors="pt")
            found: Floats = self.model.vision_model(**pixels).pooler_output.numpy()
        return found

    def frames(self, frames: Sequence[Frames]) -> Floats:
        with torch.no_grad():
            pooled = torch.from_numpy(self.pooled(frames))
            found: Floats = self.model.visual_projection(pooled).numpy()
        return found

    def text(self, prompt: str) -> Floats:
        with torch.no_grad():
            words = self.processor(
                text=[prompt], return_tensors="pt", truncation=True, max_length=77
            )
            read = self.model.text_model(**words).pooler_output
            found: Floats = self.model.text_projection(read)[0].numpy()
        return found


def dino_pooled(folder: Path, frames: Sequence[Frames]) -> Floats:
    from transformers import AutoModel, BitImageProcessorPil

    model = AutoModel.from_pretrained(folder).eval()
    processor = BitImageProcessorPil.from_pretrained(folder)
    with torch.no_grad():
        pixels = processor(images=list(frames), return_tensors="pt")
        found: Floats = model(**pixels).pooler_output.numpy()
    return found


class DinoKeys:
    """Keys of the last block of a ViT with the parameter names of facebookresearch/dino."""

    def __init__(self, folder: Path) -> None:
        self.weights = load_file(folder / "model.safetensors")
        self.config: Mapping[str, Any] = json.loads((folder / "config.json").read_text())

    def __call__(self, image_HWC: Frames) -> Floats:
        """Prepared as PnPInversion does: 0 to 255 into ImageNet's normalisation."""
        pixels = torch.from_numpy(image_HWC.astype(np.float32)).permute(2, 0, 1)[None]
        height, width = pixels.shape[2:]
        factor = 224 / min(height, width)
        size = (224, int(224 * width / height)) if height < width else None
        size = size or (int(224 * height / width), 224)
        if factor != 1:
            pixels = nnf.interpolate(
                pixels, size=size, mode="bilinear", antialias=True, align_corners=False
            )
        mean, std = (torch.tensor(one)[None, :, None, None] for one in (_MEAN, _STD))
        with torch.no_grad():
            found: Floats = self._keys((pixels - mean) / std).numpy()
        return found

    def _keys(self, pixels: Tensor) -> Tensor:
        w = self.weights
        patch = w["patch_embed.proj.weight"].shape[-1]
        x = nnf.conv2d(pixels, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], patch)
        rows, columns = x.shape[2:]
        x = torch.cat([w["cls_token"], x.flatten(2).transpose(1, 2)], dim=1)
        x = x + self._positions(rows, columns)
        depth = 1 + max(int(name.split(".")[1]) for name in w if name.startswith("blocks."))
        for i in range(depth):
            block = f"blocks.{i}."
            qkv = self._linear(f"{block}attn.qkv", self._norm(f"{block}norm1", x))
            query, key, value = qkv.chunk(3, dim=-1)
            if i == depth - 1:
                return key[0]
            query, key, value = (
                t.reshape(*t.shape[:2], self.config["num_heads"], -1).transpose(1, 2)
                for t in (query, key, value)
            )
            seen = nnf.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
            x = x + self._linear(f"{block}attn.proj", seen)
            inner = nnf.gelu(self._linear(f"{block}mlp.fc1", self._norm(f"{block}norm2", x)))
            x = x + self._linear(f"{block}mlp.fc2", inner)
        raise AssertionError

    def _positions(self, rows: int, columns: int) -> Tensor:
        whole = self.weights["pos_embed"]
        side = round((whole.shape[1] - 1) ** 0.5)
        if (rows, columns) == (side, side):
            return whole
        grid = whole[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
        factors = ((rows + 0.1) / side, (columns + 0.1) / side)
        grid = nnf.interpolate(
            grid, scale_factor=factors, mode="bicubic", recompute_scale_factor=False
        )
        assert grid.shape[2:] == (rows, columns)
        return torch.cat([whole[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return nnf.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return nnf.layer_norm(x, x.shape[-1:], weight, bias, eps=1e-6)


def vit_of_dino(folder: Path, target: Path) -> None:
    """Save a ViT with facebookresearch/dino's names as a transformers ViTModel."""
    from safetensors.torch import save_file
    from transformers import ViTConfig

    weights = load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    width = config["embed_dim"]
    ViTConfig(
        hidden_size=width,
        num_hidden_layers=config["depth"],
        num_attention_heads=config["num_heads"],
        intermediate_size=width * config["mlp_ratio"],
        patch_size=config["patch_size"],
        image_size=config["img_size"],
        layer_norm_eps=config["layer_norm_eps"],
    ).save_pretrained(target)
    renamed: dict[str, Tensor] = {}
    for name, one in weights.items():
        new = _VIT.sub(lambda found: _VIT_NAMES[found[0]], name)
        if ".attn.qkv." in name:
            for part, value in zip(("query", "key", "value"), one.chunk(3), strict=True):
                renamed[new.replace(".attn.qkv.", f".attention.attention.{part}.")] = (
                    value.contiguous()
                )
        else:
            renamed[new] = one
    save_file(renamed, target / "model.safetensors", metadata={"format": "pt"})


_VIT_NAMES = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "blocks": "encoder.layer",
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
    "norm": "layernorm",
}
_VIT = re.compile(r"\b(" + "|".join(map(re.escape, _VIT_NAMES)) + r")\b")


class GoldenMeasures:
    """One folder in the layout of metrics_more; frames of the source and CLIP lie in ../metrics."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.expected: dict[str, Any] = json.loads((folder / "expected.json").read_text())
        self.beside = folder.parent / "metrics"

    def frames(self, kind: str, video: str) -> Frames:
        """Frames of a video: of the source, of the edit, or of a folder of that name."""
        folders = {"source": self.beside / "frames" / video, "edit": self._frames("edit") / video}
        return read_frames(folders.get(kind) or self._frames(kind))

    def _frames(self, name: str) -> Path:
        return self.folder / "frames" / name

    @cached_property
    def clip(self) -> GoldenClip:
        return GoldenClip(self.beside / "clip")

    @cached_property
    def keys(self) -> DinoKeys:
        return DinoKeys(self.folder / "dino_vit")

    def mask(self, name: str) -> npt.NDArray[np.bool_]:
        """True where the mask is white."""
        return np.asarray(Image.open(self.folder / "masks" / name).convert("L")) > 127

    def flow(self, pair: Mapping[str, Any], which: str, size: tuple[int, int]) -> Floats:
        """One pair's flow, of a file or constant."""
        if "file" not in pair:
            return np.broadcast_to(np.asarray(pair[which], np.float32), (*size, 2))
        found: Floats = np.load(self.folder / pair["file"])[which][pair["pair"]]
        return found


class GoldenLoveu:
    """One folder in the layout of metrics: values of LOVEU-TGVE-2023's evaluation."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.values: list[dict[str, Any]] = json.loads((folder / "expected.json").read_text())[
            "values"
        ]

    @cached_property
    def clip(self) -> GoldenClip:
        return GoldenClip(self.folder / "clip")

    def frames(self, video: str) -> list[Frames]:
        """Resized to 480×480 by PIL's default filter, as the script's main block does."""
        frames = read_frames(self.folder / "frames" / video)
        return [np.asarray(Image.fromarray(frame).resize((480, 480))) for frame in frames]
