import pytest
import torch
from diffusers.models.attention_dispatch import AttentionBackendName
from diffusers.models.attention_processor import Attention
from torch import Tensor

from tav_model import attention
from tav_model.attention import (
    SpatioTemporalProcessor,
    TemporalProcessor,
    TextProcessor,
    backend_named,
)
from tav_model.config import AttentionMode
from tav_model.layers import Clip

NATIVE = AttentionBackendName.NATIVE
B, S, C = 2, 6, 8


def by_hand(attn: Attention, queries: Tensor, seen: Tensor) -> Tensor:
    """Attention of (S, C) tokens to (T, ...) tokens, written out per head."""
    q, k, v = attn.to_q(queries), attn.to_k(seen), attn.to_v(seen)
    heads = []
    for i in range(attn.heads):
        part = slice(i * C // attn.heads, (i + 1) * C // attn.heads)
        scores = q[:, part] @ k[:, part].T / (C // attn.heads) ** 0.5
        heads.append(scores.softmax(-1) @ v[:, part])
    out: Tensor = attn.to_out[0](torch.cat(heads, -1))
    return out


def seen_frames(mode: str, frames: int, i: int) -> list[int]:
    return {
        "sparse_causal": [0, max(i - 1, 0)],
        "full": list(range(frames)),
        "causal": list(range(i + 1)),
        "per_frame": [i],
    }[mode]


@pytest.mark.parametrize("mode", ["sparse_causal", "full", "causal", "per_frame"])
@pytest.mark.parametrize("frames", [1, 2, 3, 5])
@pytest.mark.parametrize("vector", [0, 16])
def test_space_time_attention(
    monkeypatch: pytest.MonkeyPatch, mode: AttentionMode, frames: int, vector: int
) -> None:
    monkeypatch.setattr(attention, "VECTOR", vector)  # whatever the CPU of the tests
    attn = Attention(query_dim=C, heads=2, dim_head=C // 2)
    x = torch.randn(B, frames, S, C)
    process = SpatioTemporalProcessor(mode, NATIVE, Clip(frames=frames))
    out = process(attn, x.flatten(0, 1)).view(B, frames, S, C)
    for b in range(B):
        for i in range(frames):
            seen = x[b, seen_frames(mode, frames, i)].flatten(0, 1)
            torch.testing.assert_close(out[b, i], by_hand(attn, x[b, i], seen))


def test_filled_up_heads_have_the_gradients_of_thin_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    attn = Attention(query_dim=C, heads=2, dim_head=C // 2)
    process = SpatioTemporalProcessor("sparse_causal", NATIVE, Clip(frames=3))
    x = torch.randn(3, S, C)
    gradients = []
    for vector in (0, 16):
        monkeypatch.setattr(attention, "VECTOR", vector)
        loss = process(attn, x).square().sum()
        gradients.append(torch.autograd.grad(loss, list(attn.parameters())))
    torch.testing.assert_close(gradients[1], gradients[0])


def test_per_frame_attention_is_the_image_models_own() -> None:
    attn = Attention(query_dim=C, heads=2, dim_head=C // 2)
    x = torch.randn(B * 4, S, C)
    stock = attn(x)
    attn.set_processor(SpatioTemporalProcessor("per_frame", NATIVE, Clip(frames=4)))
    torch.testing.assert_close(attn(x), stock)


@pytest.mark.parametrize(("mode", "alone"), [("per_frame", True), ("sparse_causal", False)])
def test_only_per_frame_attention_keeps_frames_apart(mode: AttentionMode, *, alone: bool) -> None:
    attn = Attention(query_dim=C, heads=2, dim_head=C // 2)
    x = torch.randn(4, S, C)
    process = SpatioTemporalProcessor(mode, NATIVE, Clip(frames=4))
    before = process(attn, x)
    x[0] += 1
    same = [torch.equal(a, b) for a, b in zip(process(attn, x), before, strict=True)]
    assert same == [False, alone, alone, alone]


def test_text_attention() -> None:
    attn = Attention(query_dim=C, heads=2, dim_head=C // 2, cross_attention_dim=5)
    x, text = torch.randn(B, 3, S, C), torch.randn(B, 7, 5)
    out = TextProcessor(NATIVE, Clip(frames=3))(attn, x.flatten(0, 1), text).view(x.shape)
    for b in range(B):
        for i in range(3):
            torch.testing.assert_close(out[b, i], by_hand(attn, x[b, i], text[b]))


@pytest.mark.parametrize("frames", [1, 4])
def test_temporal_attention(frames: int) -> None:
    attn = Attention(query_dim=C, heads=2, dim_head=C // 2)
    x = torch.randn(B, frames, S, C)
    out = TemporalProcessor(NATIVE, Clip(frames=frames))(attn, x.flatten(0, 1)).view(x.shape)
    for b in range(B):
        for s in range(S):
            torch.testing.assert_close(out[b, :, s], by_hand(attn, x[b, :, s], x[b, :, s]))


def test_unknown_backend_is_named() -> None:
    with pytest.raises(ValueError, match=r"attention_backend='warp' is unknown.*native"):
        backend_named("warp")
