"""The layers that an inflated UNet puts in place of the image UNet's.

All of them see the frames of B clips folded into the batch, (B*F, C, H, W), in channels_last.
Shape suffixes: B clips, F frames, N = B*F images, C channels, H W latent pixels, S = H*W tokens.
"""

from dataclasses import dataclass

from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch.nn import functional

from tav_model.lean import norm_silu


@dataclass(slots=True)
class Clip:
    """The frames per clip, shared by all layers of one UNet and set at each forward."""

    frames: int = 1
    """How many there are."""
    seen: Tensor | None = None
    """(frames,) which of the whole clip's they are; none is all."""


class TunedLinear(nn.Linear):
    """A linear layer whose fp32 master weights are cast to the input's dtype at each use.

    This is what autocast does for a weight that is being trained; the frozen layers around it are
    held in the compute dtype already, so that nothing else needs a cast. The other `Tuned...`
    layers are the same for their kinds.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the name is nn.Linear's)
        """Apply the layer.

        Args:
            input: (..., in_features), any floating dtype.

        Returns:
            (..., out_features) in the input's dtype.
        """
        return functional.linear(input, *_cast(self, input))


class TunedConv2d(nn.Conv2d):
    """See `TunedLinear`."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the name is nn.Conv2d's)
        """Apply the layer to (N, C_in, H, W); the result is in the input's dtype."""
        return functional.conv2d(
            input, *_cast(self, input), self.stride, self.padding, self.dilation, self.groups
        )


class TunedLayerNorm(nn.LayerNorm):
    """See `TunedLinear`."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the name is nn.LayerNorm's)
        """Apply the layer to (..., C); the result is in the input's dtype."""
        return functional.layer_norm(input, self.normalized_shape, *_cast(self, input), self.eps)


class TunedGroupNorm(nn.GroupNorm):
    """See `TunedLinear`."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the name is nn.GroupNorm's)
        """Apply the layer to (N, C, H, W); the result is in the input's dtype."""
        return functional.group_norm(input, self.num_groups, *_cast(self, input), self.eps)


TUNED: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: TunedLinear,
    nn.Conv2d: TunedConv2d,
    nn.LayerNorm: TunedLayerNorm,
    nn.GroupNorm: TunedGroupNorm,
}
"""What stands in for each stock layer whose weights are tuned; both hold the same parameters."""


def _cast(
    layer: nn.Linear | nn.Conv2d | nn.LayerNorm | nn.GroupNorm, x: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a layer in the dtype of its input; of equal dtype they are not copied."""
    bias: Tensor | None = layer.bias
    return layer.weight.to(x.dtype), None if bias is None else bias.to(x.dtype)


class ClipGroupNorm(nn.GroupNorm):
    """Group normalisation whose statistics span all frames of a clip.

    Must agree with the official code, whose resnets normalise (B, C, F, H, W) tensors. Per-frame
    statistics look harmless and are wrong: frames would lose what sets them apart in scale.
    """

    def __init__(self, stock: nn.GroupNorm, clip: Clip, *, silu: bool = False) -> None:
        """Take over the stock layer's parameters.

        Args:
            stock: the image UNet's layer.
            clip: holds the number of frames of the running forward.
            silu: whether a SiLU follows, as part of this layer.
        """
        super().__init__(stock.num_groups, stock.num_channels, stock.eps, affine=False)
        self.weight, self.bias = stock.weight, stock.bias
        self.clip = clip
        self.silu = silu

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the name is nn.GroupNorm's)
        """Normalise each clip as one tall image.

        Args:
            input: (N, C, H, W), N a multiple of the clip's frames.

        Returns:
            The same shape, channels_last.
        """
        n, c, h, w = input.shape
        x_nhwc = input.permute(0, 2, 3, 1).contiguous()  # free in channels_last
        tall = x_nhwc.view(n // self.clip.frames, self.clip.frames * h, w, c).permute(0, 3, 1, 2)
        norm = norm_silu if self.silu else functional.group_norm
        out = norm(tall, self.num_groups, *_cast(self, input), self.eps)
        return out.permute(0, 2, 3, 1).reshape(n, h, w, c).permute(0, 3, 1, 2)


class ClipResnet(nn.Module):
    """The stock residual block with clip-wide norms; parameter names are the stock block's."""

    def __init__(self, stock: ResnetBlock2D, clip: Clip) -> None:
        """Take over the stock block's layers.

        Args:
            stock: the image UNet's block.
            clip: holds the number of frames of the running forward.

        Raises:
            ValueError: the block resamples or scales its output, which no Stable Diffusion 1.x or
                2.x UNet does.
        """
        super().__init__()
        if stock.up or stock.down or stock.output_scale_factor != 1.0:
            msg = (
                f"unsupported residual block: up={stock.up}, down={stock.down}, "
                f"output_scale_factor={stock.output_scale_factor}, only False, False and 1.0 are. "
                "Use a Stable Diffusion 1.x or 2.x base."
            )
            raise ValueError(msg)
        self.scale_shift = stock.time_embedding_norm == "scale_shift"
        silu = isinstance(stock.nonlinearity, nn.SiLU)
        self.norm1 = ClipGroupNorm(stock.norm1, clip, silu=silu)
        self.conv1 = stock.conv1
        self.time_emb_proj = stock.time_emb_proj
        self.norm2 = ClipGroupNorm(stock.norm2, clip, silu=silu and not self.scale_shift)
        self.conv2 = stock.conv2
        self.conv_shortcut = stock.conv_shortcut
        self.nonlinearity = stock.nonlinearity

    def forward(self, x_NCHW: Tensor, temb: Tensor) -> Tensor:
        """Apply the block.

        Args:
            x_NCHW: (N, C_in, H, W).
            temb: (N, T) time embedding.

        Returns:
            (N, C_out, H, W).
        """
        h = self.conv1(self._activated(self.norm1, x_NCHW))
        t = self.time_emb_proj(self.nonlinearity(temb))[:, :, None, None]
        if self.scale_shift:
            scale, shift = t.chunk(2, dim=1)
            h = self.nonlinearity(self.norm2(h) * (1 + scale) + shift)
        else:
            h = self._activated(self.norm2, h + t)
        h = self.conv2(h)
        out: Tensor = (x_NCHW if self.conv_shortcut is None else self.conv_shortcut(x_NCHW)) + h
        return out

    def _activated(self, norm: ClipGroupNorm, x: Tensor) -> Tensor:
        out: Tensor = norm(x) if norm.silu else self.nonlinearity(norm(x))
        return out
