import pytest
import torch
from diffusers.models.resnet import ResnetBlock2D
from torch import nn
from torch.nn import functional

from tav_model.layers import Clip, ClipGroupNorm, ClipResnet, TunedLinear


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_norm_spans_the_clip(memory_format: torch.memory_format) -> None:
    stock = nn.GroupNorm(2, 6)
    nn.init.normal_(stock.weight)
    nn.init.normal_(stock.bias)
    x_BCFHW = torch.randn(2, 6, 3, 4, 5) * torch.arange(1, 4).view(3, 1, 1)
    folded = x_BCFHW.transpose(1, 2).flatten(0, 1).contiguous(memory_format=memory_format)
    out = ClipGroupNorm(stock, Clip(frames=3))(folded)
    expected = stock(x_BCFHW).transpose(1, 2).flatten(0, 1)
    torch.testing.assert_close(out, expected)
    assert (out - stock(folded)).abs().max() > 0.1


@pytest.mark.parametrize("scale_shift", ["default", "scale_shift"])
def test_resnet_of_one_frame_is_the_stock_one(scale_shift: str) -> None:
    stock = ResnetBlock2D(
        in_channels=4, out_channels=8, temb_channels=6, groups=2, time_embedding_norm=scale_shift
    )
    x, temb = torch.randn(2, 4, 5, 3), torch.randn(2, 6)
    torch.testing.assert_close(ClipResnet(stock, Clip())(x, temb), stock(x, temb))


def test_resampling_resnet_is_refused() -> None:
    with pytest.raises(ValueError, match="up=True"):
        ClipResnet(ResnetBlock2D(in_channels=4, temb_channels=6, groups=2, up=True), Clip())


def test_tuned_linear_casts_its_masters() -> None:
    layer = TunedLinear(3, 2)
    x = torch.randn(4, 3, dtype=torch.bfloat16)
    out = layer(x)
    assert out.dtype == torch.bfloat16
    out.sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32
    low = [p.detach().bfloat16() for p in (layer.weight, layer.bias)]
    assert torch.equal(out, functional.linear(x, *low))
