"""The plain computation that the benchmark measures against computes the same model."""

import torch

from benchmarks.plain import make_plain
from benchmarks.sizes import SIZES, random_base
from tav_model.config import ModelConfig


def test_plain_computes_the_same_output_in_another_way() -> None:
    base = random_base(SIZES["tiny"], ModelConfig(base="random", device="cpu", dtype="fp32"))
    clips_BCFHW = torch.randn(2, 4, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    text_BLC = torch.randn(2, 77, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        ours = base.unet(clips_BCFHW, 500, text_BLC)
        make_plain(base.unet)
        plain = base.unet(clips_BCFHW, 500, text_BLC)

    assert not torch.equal(plain, ours)  # another order of sums, so it was another computation
    torch.testing.assert_close(plain, ours, atol=1e-4, rtol=1e-4)
