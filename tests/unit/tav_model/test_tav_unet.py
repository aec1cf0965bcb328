from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tav_model.load import BaseModel, load_unet
from tav_model.unet import tuned_parameters

TEXT = torch.randn(2, 77, 32, generator=torch.Generator().manual_seed(5))


def noisy(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def test_tuned_set(base: BaseModel) -> None:
    tuned = tuned_parameters(base.unet)
    assert {n for n, p in base.unet.named_parameters() if p.requires_grad} == set(tuned)
    kinds = {n.partition("transformer_blocks.")[2].split(".", 1)[1] for n in tuned}
    temporal = {f"attn_temp.{k}.weight" for k in ("to_q", "to_k", "to_v", "to_out.0")}
    assert kinds == temporal | {"attn_temp.to_out.0.bias", "attn1.to_q.weight", "attn2.to_q.weight"}
    assert not any(p.requires_grad for m in (base.vae, base.text_encoder) for p in m.parameters())


@torch.no_grad()
@pytest.mark.parametrize("size", [(8, 8), (7, 9)])
def test_clips_of_a_batch_do_not_see_each_other(base: BaseModel, size: tuple[int, int]) -> None:
    x = noisy(2, 4, 3, *size)
    both = base.unet(x, torch.tensor([3, 700]), TEXT)
    assert both.shape == x.shape
    for b, t in enumerate((3, 700)):
        alone = base.unet(x[b : b + 1], t, TEXT[b : b + 1])
        torch.testing.assert_close(both[b : b + 1], alone, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_frames_see_the_clip(base: BaseModel) -> None:
    x = noisy(1, 4, 3, 8, 8)
    changed = x.clone()
    changed[:, :, 0] += 1
    difference = (base.unet(x, 10, TEXT[:1]) - base.unet(changed, 10, TEXT[:1])).abs()
    assert (difference.amax((0, 1, 3, 4)) > 1e-3).all()


@pytest.mark.parametrize("kind", ["eps", "v"])
def test_checkpointing_changes_no_gradient(
    base_folder: Path, velocity_folder: Path, kind: str
) -> None:
    unet = load_unet(base_folder if kind == "eps" else velocity_folder)
    gradients = []
    for enable in (unet.disable_gradient_checkpointing, unet.enable_gradient_checkpointing):
        enable()
        loss = functional.mse_loss(unet(noisy(1, 4, 3, 8, 8), 50, TEXT[:1]), noisy(1, 4, 3, 8, 8))
        loss.backward()  # type: ignore[no-untyped-call]
        gradients.append({n: p.grad for n, p in tuned_parameters(unet).items()})
        unet.zero_grad()
    for name, grad in gradients[0].items():
        assert grad is not None, name
        other = gradients[1][name]
        assert other is not None
        assert torch.equal(grad, other), name


@torch.no_grad()
@pytest.mark.parametrize("mode", ["full", "causal", "per_frame"])
def test_other_attention_modes_differ(base: BaseModel, base_folder: Path, mode: str) -> None:
    unet = load_unet(base_folder, attention_mode=mode)  # type: ignore[arg-type]
    x = noisy(1, 4, 3, 8, 8)
    assert (unet(x, 10, TEXT[:1]) - base.unet(x, 10, TEXT[:1])).abs().max() > 1e-4
