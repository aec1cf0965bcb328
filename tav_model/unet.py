"""The inflated UNet: a stock image UNet that sees all frames of a clip (section 4.1 of the paper).

State-dict keys equal the official UNet3DConditionModel's, so published checkpoints load.
Shape suffixes: B clips, C channels, F frames, N = B*F images, H W latent pixels, S = H*W tokens.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tav_model.attention import (
    SpatioTemporalProcessor,
    TemporalProcessor,
    TextProcessor,
    backend_named,
)
from tav_model.config import AttentionMode, TunedSet
from tav_model.layers import TUNED, Clip, ClipGroupNorm, ClipResnet
from tav_model.lean import LEAN
from tav_model.parts import stock_config
from tav_model.residuals import Added, Residuals
from tav_model.windows import Windows, blended

_TUNED: dict[TunedSet, tuple[str, ...]] = {
    "paper": (".attn1.to_q.", ".attn2.to_q.", ".attn_temp."),
    "attention": (".attn1.", ".attn2.", ".attn_temp."),
    "all": (".",),
}
"""Parts of the names of what is tuned."""


class ClipBlock(BasicTransformerBlock):  # type: ignore[misc]
    """A transformer block with an attention along time after its feed-forward."""

    def __init__(self, stock: BasicTransformerBlock) -> None:
        """Take over the stock block's layers and add `norm_temp` and `attn_temp`.

        Args:
            stock: the image UNet's block.
        """
        nn.Module.__init__(self)
        self.__dict__.update(stock.__dict__)
        self.norm_temp = nn.LayerNorm(self.dim)
        self.attn_temp = Attention(
            query_dim=self.dim,
            heads=self.num_attention_heads,
            dim_head=self.attention_head_dim,
            bias=self.attention_bias,
        )

    def forward(self, hidden_states: Tensor, encoder_hidden_states: Tensor) -> Tensor:
        """Space-time attention, text attention, feed-forward, then attention along time.

        Args:
            hidden_states: (N, S, C).
            encoder_hidden_states: (B, L, text channels).

        Returns:
            (N, S, C).
        """
        x: Tensor = super().forward(hidden_states, encoder_hidden_states=encoder_hidden_states)
        return x + self.attn_temp(self.norm_temp(x))  # type: ignore[no-any-return]


class ClipTransformer(nn.Module):
    """The stock spatial transformer around `ClipBlock`s; parameter names are the stock one's."""

    def __init__(self, stock: Transformer2DModel) -> None:
        """Take over the stock transformer's layers.

        Args:
            stock: the image UNet's transformer.
        """
        super().__init__()
        self.norm = stock.norm  # per frame, as in the official code
        self.proj_in = stock.proj_in
        self.transformer_blocks = nn.ModuleList(ClipBlock(b) for b in stock.transformer_blocks)
        self.proj_out = stock.proj_out
        self.linear = bool(stock.use_linear_projection)
        self.gradient_checkpointing = False

    def forward(
        self, x_NCHW: Tensor, encoder_hidden_states: Tensor, **_: object
    ) -> tuple[Tensor, ...]:
        """Apply all blocks to the tokens of each frame.

        Args:
            x_NCHW: (N, C, H, W).
            encoder_hidden_states: (B, L, text channels).

        Returns:
            A tuple of one (N, C, H, W) tensor, as the stock transformer with return_dict=False.
        """
        n, _c, h, w = x_NCHW.shape
        x = self.norm(x_NCHW)
        if not self.linear:
            x = self.proj_in(x)
        x_NSC = x.permute(0, 2, 3, 1).reshape(n, h * w, -1)  # a view in channels_last
        if self.linear:
            x_NSC = self.proj_in(x_NSC)
        for block in self.transformer_blocks:
            if self.gradient_checkpointing and torch.is_grad_enabled():
                x_NSC = checkpoint(block, x_NSC, encoder_hidden_states, use_reentrant=False)
            else:
                x_NSC = block(x_NSC, encoder_hidden_states)
        if self.linear:
            x_NSC = self.proj_out(x_NSC)
        x = x_NSC.view(n, h, w, -1).permute(0, 3, 1, 2)
        return (x_NCHW + (x if self.linear else self.proj_out(x)),)


class ClipUNet(UNet2DConditionModel):  # type: ignore[misc]
    """diffusers' UNet2DConditionModel over clips. Made by `build_unet`, never directly."""

    clip: Clip
    tuned: TunedSet = "paper"
    """What tuning changes of it."""
    compute_dtype: torch.dtype | None = None
    """Of the frozen weights, where it is known; where all are tuned none would say it."""
    windows: Windows | None = None
    """How clips that are longer are divided; none divides no clip."""

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | int,
        encoder_hidden_states: Tensor,
        added: Added | None = None,
    ) -> Tensor:
        """Predict the noise (or velocity) of noisy latents.

        Args:
            sample: (B, C, F, H, W) latents, any floating dtype.
            timestep: a number, or (B,) int64.
            encoder_hidden_states: (B, L, text channels), one text per clip.
            added: gives what controls add to the features of frames.

        Returns:
            (B, C, F, H, W), fp32.
        """
        if self.windows is None or not self.windows.divides(sample.shape[2]):
            return self._seen(sample, timestep, encoder_hidden_states, added, None)
        return blended(
            self.windows,
            sample,
            lambda part, frames: self._seen(part, timestep, encoder_hidden_states, added, frames),
        )

    def _seen(
        self,
        part_BCFHW: Tensor,
        timestep: Tensor | int,
        text_BLC: Tensor,
        added: Added | None,
        frames: Tensor | None,
    ) -> Tensor:
        """Some of the clip's frames at once, or all, with what is added to them."""
        self.clip.seen = frames
        residuals = None if added is None else added(part_BCFHW, timestep, text_BLC, frames)
        return self._whole(part_BCFHW, timestep, text_BLC, residuals)

    def _whole(
        self, sample: Tensor, timestep: Tensor | int, text_BLC: Tensor, residuals: Residuals | None
    ) -> Tensor:
        """All frames at once."""
        b, c, f, h, w = sample.shape
        self.clip.frames = f
        t = torch.as_tensor(timestep, device=sample.device).expand(b).repeat_interleave(f)
        x_NCHW = sample.to(self.dtype).transpose(1, 2).reshape(b * f, c, h, w)
        out = super().forward(
            x_NCHW.contiguous(memory_format=torch.channels_last),
            t,
            text_BLC.to(self.dtype),
            return_dict=False,
            **({} if residuals is None else residuals.arguments()),
        )[0]
        return out.view(b, f, -1, h, w).transpose(1, 2).float()  # type: ignore[no-any-return]

    @property
    def dtype(self) -> torch.dtype:
        """Compute dtype: that of the frozen weights."""
        return self.compute_dtype or self.conv_in.weight.dtype


def build_unet(
    config: Mapping[str, Any],
    *,
    attention_mode: AttentionMode,
    attention_backend: str,
    tuned: TunedSet = "paper",
) -> ClipUNet:
    """Build an inflated UNet without weights (on the meta device).

    Args:
        config: a stock 2D UNet's or an official Tune-A-Video UNet's config.json.
        attention_mode: which frames the space-time attention sees.
        attention_backend: name of a diffusers attention backend.
        tuned: what tuning is to change.

    Returns:
        The UNet, all parameters on the meta device, only the tuned set requiring gradients.

    Raises:
        ValueError: the config is of another family than Stable Diffusion 1.x and 2.x, or the
            backend is unknown.
    """
    backend = backend_named(attention_backend)
    with torch.device("meta"):
        unet: ClipUNet = ClipUNet.from_config(dict(stock_config(config)))
        clip = unet.clip = Clip()
        _replace(unet, ResnetBlock2D, lambda m: ClipResnet(m, clip))
        _replace(unet, Transformer2DModel, ClipTransformer)
        unet.conv_norm_out = ClipGroupNorm(unet.conv_norm_out, clip)
    for module in unet.modules():
        if isinstance(module, ClipBlock):
            module.attn1.set_processor(SpatioTemporalProcessor(attention_mode, backend, clip))
            module.attn2.set_processor(TextProcessor(backend, clip))
            module.attn_temp.set_processor(TemporalProcessor(backend, clip))
    unet.tuned = tuned
    unet.requires_grad_(False)  # noqa: FBT003
    for parameter in tuned_parameters(unet).values():
        parameter.requires_grad_(True)  # noqa: FBT003
    for module in unet.modules():
        own = module.parameters(recurse=False)
        kinds = TUNED if any(parameter.requires_grad for parameter in own) else LEAN
        module.__class__ = kinds.get(type(module), type(module))
    unet.eval()
    return unet


def tuned_parameters(unet: ClipUNet) -> dict[str, nn.Parameter]:
    """Name the parameters that tuning changes, by the UNet's `tuned`.

    The paper's are attn1.to_q, attn2.to_q and attn_temp (section 4.2). `norm_temp` is not among
    them; it must agree with the official code, which freezes it.
    """
    parts = _TUNED[unet.tuned]
    return {n: p for n, p in unet.named_parameters() if any(part in f".{n}" for part in parts)}


def init_temporal(unet: ClipUNet, seed: int) -> dict[str, Tensor]:
    """Draw the weights that an image model does not have.

    Must agree with the official code in distribution: torch's default linear initialisation, but a
    zero output weight. Its output bias is not zero, so the inflated model is not the image model.

    Args:
        unet: gives names and shapes; may be on the meta device.
        seed: seeds the one CPU generator that all draws come from.

    Returns:
        fp32 CPU tensors of every `attn_temp` and `norm_temp` key.
    """
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    for name, block in _blocks(unet):
        state[f"{name}.norm_temp.weight"] = torch.ones(block.dim)
        state[f"{name}.norm_temp.bias"] = torch.zeros(block.dim)
        for key, parameter in block.attn_temp.named_parameters():
            bound = 1 / math.sqrt(block.attn_temp.get_submodule(key.rpartition(".")[0]).in_features)
            draw = torch.rand(parameter.shape, generator=generator) * (2 * bound) - bound
            state[f"{name}.attn_temp.{key}"] = (
                torch.zeros_like(draw) if key == "to_out.0.weight" else draw
            )
    return state


def _blocks(unet: nn.Module) -> Iterator[tuple[str, ClipBlock]]:
    return ((n, m) for n, m in unet.named_modules() if isinstance(m, ClipBlock))


def _replace(root: nn.Module, kind: type[nn.Module], make: Any) -> None:
    for name, module in list(root.named_modules()):
        if isinstance(module, kind):
            root.set_submodule(name, make(module))
