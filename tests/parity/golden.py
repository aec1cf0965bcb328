"""A folder of tensors recorded from the official code, and how near one must come to them."""

import json
import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tav_model.config import ModelConfig
from tav_model.load import BaseModel, load_base

_SLACK = 10
"""Times the reference's own fp32 rounding noise that another fp32 implementation may be off."""


class Golden:
    """One folder: its tensors, its numbers, and base models built from its weights."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder = folder
        self.scratch = scratch
        self.meta: dict[str, Any] = json.loads((folder / "meta.json").read_text())
        self.noise: dict[str, list[float]] = self.meta["fp32_vs_fp64_max_abs_and_rel_to_max"]

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        files = ("forward", "train", "pipeline")
        return {k: t for f in files for k, t in load_file(self.folder / f"{f}.safetensors").items()}

    def fixed(self, plain: str) -> str:
        """Name the recording in which the reference's v-prediction inversion is put right."""
        return next((k for k in self.tensors if k.replace("_vfixed", "") == plain != k), plain)

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def check(self, name: str, actual: Tensor) -> None:
        """Compare with a golden tensor, within the slack; integers must be equal."""
        expected = self[name]
        assert actual.shape == expected.shape, f"{name}: {actual.shape} for {expected.shape}"
        if not expected.is_floating_point():
            assert torch.equal(actual, expected), name
            return
        noise = self.noise.get(name) or self.noise[name.replace("_vfixed", "")]
        self._within(name, (actual - expected).abs().max().item(), _SLACK * noise[0])

    def check_grads(self, run: str, actual: dict[str, Tensor]) -> None:
        """Compare step-0 gradients, each relative to its golden's maximum."""
        limit = _SLACK * max(
            x
            for x in self.noise[f"train.{run}.grad0(max over tensors)"]
            if x == x  # noqa: PLR0124
        )
        for name, grad in actual.items():
            expected = self[f"train.{run}.grad0.{name}"]
            allowed = limit * expected.abs().max().item()  # 0 where to_out's zero weight stops it
            self._within(f"train.{run}.grad0.{name}", (grad - expected).abs().max().item(), allowed)

    def check_update(self, run: str, actual: dict[str, Tensor], start: dict[str, Tensor]) -> None:
        """Compare how far training went, by the norm over all trained tensors."""
        pairs = [(actual[n], self[f"train.{run}.param.{n}"], start[n]) for n in actual]
        off = sum((a - g).double().square().sum().item() for a, g, _ in pairs)
        went = sum((g - s).double().square().sum().item() for _, g, s in pairs)
        self._within(f"train.{run}.param", (off / went) ** 0.5, 8e-4)

    @staticmethod
    def _within(name: str, error: float, limit: float) -> None:
        assert error <= limit, f"{name}: off by {error:.2e}, allowed {limit:.2e}"

    def base(self, start: str) -> BaseModel:
        """Load the inflated model (`init` or `perturbed`) from a folder in official 3D layout."""
        folder = self.scratch / start
        if not folder.exists():
            shutil.copytree(self.folder / "ckpt2d", folder)
            (folder / "unet" / "config.json").chmod(0o644)
            text = json.dumps(self.meta["unet_config"]).replace("2D", "3D")
            (folder / "unet" / "config.json").write_text(text)
            state = load_file(self.folder / "unet3d_init.safetensors")
            if start == "perturbed":
                state |= load_file(self.folder / "unet3d_perturb_delta.safetensors")
            weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
            weights.unlink()
            save_file(state, weights)
        return load_base(ModelConfig(base=str(folder)))
