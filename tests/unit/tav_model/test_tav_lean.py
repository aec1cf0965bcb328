from collections.abc import Callable

import pytest
import torch
from diffusers.models.activations import GEGLU
from torch import Tensor, nn
from torch.nn import functional

from tav_model.lean import FrozenConv2d, LeanGEGLU, norm_silu


def kept(compute: Callable[[], Tensor]) -> int:
    """Numbers of other tensors than leaves that autograd keeps for the backward pass."""
    found: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if not tensor.is_leaf:
            found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // 4
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        compute()
    return sum(found.values())


def same(mine: Tensor, stock: Tensor, *leaves: Tensor) -> None:
    """Values and gradients are bit-equal."""
    assert torch.equal(mine, stock)
    weights = torch.randn_like(stock)
    for ours, theirs in zip(
        torch.autograd.grad((mine * weights).sum(), leaves),
        torch.autograd.grad((stock * weights).sum(), leaves),
        strict=True,
    ):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("tuned", [False, True])
def test_gated_activation(*, tuned: bool) -> None:
    torch.manual_seed(0)
    stock = GEGLU(6, 8).requires_grad_(tuned)
    lean = GEGLU(6, 8)
    lean.__class__ = LeanGEGLU
    lean.proj = stock.proj
    x = torch.randn(3, 5, 6, requires_grad=True)
    same(lean(x), stock(x), x, *(p for p in stock.parameters() if tuned))
    assert kept(lambda: lean(x * 1)) == kept(lambda: stock(x * 1)) - 3 * 5 * 8


@pytest.mark.parametrize("tuned", [False, True])
def test_norm_and_activation(*, tuned: bool) -> None:
    torch.manual_seed(0)
    weight, bias = (torch.randn(6, requires_grad=tuned) for _ in range(2))
    x = torch.randn(2, 6, 4, 5).contiguous(memory_format=torch.channels_last).requires_grad_()

    def stock() -> Tensor:
        return functional.silu(functional.group_norm(x * 1, 3, weight, bias, 1e-5))

    def lean() -> Tensor:
        return norm_silu(x * 1, 3, weight, bias, 1e-5)

    same(lean(), stock(), x, *([weight, bias] if tuned else []))
    assert kept(lean) == x.numel() == (kept(stock) - 2 * 2 * 3) / 2  # and the groups' statistics


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (1, 1)])
def test_frozen_convolution(kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    stock = nn.Conv2d(4, 6, kernel, stride=stride, padding=kernel // 2).requires_grad_(
        requires_grad=False
    )
    stock.to(memory_format=torch.channels_last)
    lean = nn.Conv2d(4, 6, kernel, stride=stride, padding=kernel // 2)
    lean.__class__ = FrozenConv2d
    lean.weight, lean.bias = stock.weight, stock.bias
    x = torch.randn(2, 4, 6, 8).contiguous(memory_format=torch.channels_last).requires_grad_()
    same(lean(x * 1), stock(x * 1), x)
    assert kept(lambda: lean(x * 1)) == 0 < kept(lambda: stock(x * 1))
