"""Operations that keep less for the backward pass than autograd would, and give the same numbers.

What an activation gave is computed again from what it took, which takes a hundredth of the time of
the products around it; a convolution whose weight is frozen needs nothing but that weight.
"""

from typing import Any

import torch
from diffusers.models.activations import GEGLU
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.grad import conv2d_input

_ATEN = torch.ops.aten


class LeanGEGLU(GEGLU):  # type: ignore[misc]
    """diffusers' gated activation, which keeps its projection alone."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Project (..., C) and gate one half by the other; (..., C_out)."""
        return _Gated.apply(self.proj(hidden_states))  # type: ignore[no-any-return]


class FrozenConv2d(nn.Conv2d):
    """A convolution whose weight is not tuned, which keeps no input."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the name is nn.Conv2d's)
        """Apply the layer to (N, C_in, H, W)."""
        return _FrozenConv.apply(  # type: ignore[no-any-return]
            input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


LEAN: dict[type[nn.Module], type[nn.Module]] = {nn.Conv2d: FrozenConv2d, GEGLU: LeanGEGLU}
"""What stands in for each stock layer that is not tuned; both hold the same parameters."""


def norm_silu(x: Tensor, groups: int, weight: Tensor, bias: Tensor | None, eps: float) -> Tensor:
    """SiLU of a group norm, which keeps what the norm takes alone.

    Args:
        x: (N, C, H, W).
        groups: of channels.
        weight: (C,) of the norm, in x's dtype.
        bias: (C,) likewise.
        eps: of the norm.

    Returns:
        x's shape, as torch's own two operations.
    """
    return _NormSilu.apply(x, groups, weight, bias, eps)  # type: ignore[no-any-return]


class _Gated(Function):
    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        ctx.save_for_backward(both)
        value, gate = both.chunk(2, dim=-1)
        return functional.gelu(gate).mul_(value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        value, gate = ctx.saved_tensors[0].chunk(2, dim=-1)
        of_value = functional.gelu(gate).mul_(grad)
        return torch.cat([of_value, _ATEN.gelu_backward(grad * value, gate)], dim=-1)


class _FrozenConv(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *how: Any) -> Tensor:
        # No saved tensor: at the last of those checkpointing stops to compute again.
        ctx.shape, ctx.weight, ctx.how = x.shape, weight, how
        return functional.conv2d(x, weight, bias, *how)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        of_input = conv2d_input(ctx.shape, ctx.weight, grad, *ctx.how)  # type: ignore[no-untyped-call]
        return (of_input, *[None] * 6)


class _NormSilu(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, groups: int, weight: Tensor, bias: Tensor | None, eps: float
    ) -> Tensor:
        n, c, h, w = x.shape
        ctx.sizes, ctx.eps = (n, c, h * w, groups), eps
        x = _laid(x)
        out, mean, rstd = _ATEN.native_group_norm(x, weight, bias, *ctx.sizes, eps)
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        return functional.silu(out, inplace=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, rstd = ctx.saved_tensors
        normed = _ATEN.native_group_norm(x, weight, bias, *ctx.sizes, ctx.eps)[0]
        grad = _laid(_ATEN.silu_backward(grad, normed))
        wanted = [ctx.needs_input_grad[k] for k in (0, 2, 3)]
        of_x, of_weight, of_bias = _ATEN.native_group_norm_backward(
            grad, x, mean, rstd, weight, *ctx.sizes, wanted
        )
        return of_x, None, of_weight, of_bias, None


def _laid(x: Tensor) -> Tensor:
    """In the memory that the device's group norm asks for; of channels_last free on a CPU."""
    cpu = x.device.type == "cpu"
    return x.contiguous(memory_format=torch.channels_last if cpu else torch.contiguous_format)
