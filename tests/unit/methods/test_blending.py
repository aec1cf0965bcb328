"""Blended attention against FateZero's own way: maps in full, replaced and mixed, then used."""

from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_dispatch import AttentionBackendName
from diffusers.models.attention_processor import Attention
from torch import Tensor

from methods.blending import BlendedSpatioTemporal, BlendedText, Blending, install
from tav_model.attention import SpatioTemporalProcessor, TextProcessor
from tav_model.config import AttentionMode
from tav_model.layers import Clip
from tav_model.unet import build_unet

NATIVE = AttentionBackendName.NATIVE
B, F, S, L, C, HEADS = 3, 4, 6, 5, 8, 2


def maps(attn: Attention, queries: Tensor, seen: Tensor) -> Tensor:
    """The weights of one frame's attention: (heads, queries, seen)."""
    q, k = (
        x.unflatten(-1, (HEADS, -1)).movedim(-2, 0) for x in (attn.to_q(queries), attn.to_k(seen))
    )
    weights: Tensor = (q @ k.transpose(-1, -2) * (C // HEADS) ** -0.5).softmax(-1)
    return weights


def used(attn: Attention, weights: Tensor, seen: Tensor) -> Tensor:
    v = attn.to_v(seen).unflatten(-1, (HEADS, -1)).movedim(-2, 0)
    out: Tensor = attn.to_out[0]((weights @ v).movedim(0, -2).flatten(-2))
    return out


def seen_frames(mode: str, i: int) -> list[int]:
    return {
        "sparse_causal": [0, max(i - 1, 0)],
        "full": list(range(F)),
        "causal": list(range(i + 1)),
        "per_frame": [i],
    }[mode]


def blending(**settings: Any) -> Blending:
    return Blending(max_tokens=S, depth=1, depths=2, **settings)


@pytest.mark.parametrize("mode", ["sparse_causal", "full", "causal", "per_frame"])
@pytest.mark.parametrize("masked", [False, True])
def test_self_attention_is_the_sources_but_where_masked(mode: AttentionMode, masked: bool) -> None:  # noqa: FBT001
    torch.manual_seed(0)
    attn = Attention(query_dim=C, heads=HEADS, dim_head=C // HEADS)
    x = torch.randn(B, F, S, C)
    mask = torch.rand(F, S, 1, 1) > 0.5
    state = blending(attention=True, masks={S: mask} if masked else {})
    process = BlendedSpatioTemporal(SpatioTemporalProcessor(mode, NATIVE, Clip(frames=F)), state)
    out = process(attn, x.flatten(0, 1)).view(B, F, S, C)
    for b in range(B):
        for i in range(F):
            seen = x[:, seen_frames(mode, i)].flatten(1, 2)
            weights = maps(attn, x[b, i], seen[b])
            if b == B - 1:
                source = maps(attn, x[0, i], seen[0])
                weights = torch.where(mask[i, :, 0], weights, source) if masked else source
            torch.testing.assert_close(out[b, i], used(attn, weights, seen[b]))


def test_words_are_the_sources_where_aligned() -> None:
    torch.manual_seed(0)
    attn = Attention(query_dim=C, heads=HEADS, dim_head=C // HEADS, cross_attention_dim=C)
    x, text = torch.randn(B, F, S, C), torch.randn(B, L, C)
    source, own = torch.rand(L, L), torch.rand(L)
    process = BlendedText(
        TextProcessor(NATIVE, Clip(frames=F)), blending(words=(source, own)), records=False
    )
    out = process(attn, x.flatten(0, 1), text).view(B, F, S, C)
    for b in range(B):
        weights = maps(attn, x[b].flatten(0, 1), text[b])
        if b == B - 1:
            of_source = maps(attn, x[0].flatten(0, 1), text[0])
            weights = of_source @ source + weights * own
        torch.testing.assert_close(out[b].flatten(0, 1), used(attn, weights, text[b]))


def test_layers_of_more_tokens_are_left_alone() -> None:
    torch.manual_seed(0)
    attn = Attention(query_dim=C, heads=HEADS, dim_head=C // HEADS)
    clip, x = Clip(frames=F), torch.randn(B * F, S + 1, C)
    words = (torch.rand(L, L), torch.rand(L))
    state = blending(attention=True, words=words)
    stock = SpatioTemporalProcessor("sparse_causal", NATIVE, clip)
    assert torch.equal(BlendedSpatioTemporal(stock, state)(attn, x), stock(attn, x))
    text = torch.randn(B, L, C)
    process = BlendedText(TextProcessor(NATIVE, clip), state, records=False)
    assert torch.equal(process(attn, x, text), TextProcessor(NATIVE, clip)(attn, x, text))


def test_what_is_recorded_are_the_maps() -> None:
    torch.manual_seed(0)
    attn = Attention(query_dim=C, heads=HEADS, dim_head=C // HEADS)
    x, text = torch.randn(F, S, C), torch.randn(1, L, C)
    state = blending(recording=[])
    for records in (True, False):
        BlendedText(TextProcessor(NATIVE, Clip(frames=F)), state, records=records)(attn, x, text)
    assert state.recording is not None
    (found,) = state.recording
    torch.testing.assert_close(found, torch.stack([maps(attn, f, text[0]).mean(0) for f in x]))


def test_a_mask_is_where_the_words_are_seen_best() -> None:
    state = blending()
    seen = torch.zeros(2, 3, 5)
    seen[0, 0, 0], seen[0, 2, 4], seen[1, 1, 2] = 1, 0.2, 0.01  # of frame 1 the best, if little
    state.mask(seen.flatten(1), (5, 9), 0.3)
    assert set(state.masks) == {5 * 9, 3 * 5}
    coarse = state.masks[15].view(2, 3, 5)
    assert coarse[0].nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]], "and what is beside"
    assert coarse[1].nonzero().tolist() == [[i, j] for i in range(3) for j in (1, 2, 3)]
    fine = state.masks[45].view(2, 5, 9)
    assert fine[0, :4, :4].sum() == fine[0].sum() > 8


def _unet(down: tuple[str, ...], up: tuple[str, ...]) -> Any:
    config = {
        "down_block_types": down,
        "up_block_types": up,
        "block_out_channels": (8,) * len(down),
        "norm_num_groups": 8,
        "layers_per_block": 1,
        "cross_attention_dim": 8,
        "attention_head_dim": 2,
    }
    with torch.device("meta"):
        stock = UNet2DConditionModel(**config)
    return build_unet(stock.config, attention_mode="sparse_causal", attention_backend="native")


CROSS_DOWN, DOWN = "CrossAttnDownBlock2D", "DownBlock2D"
CROSS_UP, UP = "CrossAttnUpBlock2D", "UpBlock2D"


@pytest.mark.parametrize(
    ("down", "up", "depth", "blocks"),
    [
        ((CROSS_DOWN,) * 3 + (DOWN,), (UP,) + (CROSS_UP,) * 3, 2, {"down_blocks.2", "up_blocks.1"}),
        (
            (CROSS_DOWN, CROSS_DOWN, DOWN),
            (UP, CROSS_UP, CROSS_UP),
            1,
            {"down_blocks.1", "up_blocks.1"},
        ),
        ((CROSS_DOWN, DOWN), (CROSS_UP, CROSS_UP), 1, {"up_blocks.0"}),
    ],
)
def test_the_coarsest_layers_record(
    down: tuple[str, ...], up: tuple[str, ...], depth: int, blocks: set[str]
) -> None:
    unet = _unet(down, up)
    state = install(unet, 9)
    assert (state.depth, state.depths, state.max_tokens) == (depth, len(down), 9)
    found = {name: p for name, p in unet.attn_processors.items() if isinstance(p, BlendedText)}
    assert {".".join(name.split(".")[:2]) for name, p in found.items() if p.records} == blocks
    kinds = {name.split(".")[-2]: type(p) for name, p in unet.attn_processors.items()}
    assert kinds["attn1"] is BlendedSpatioTemporal
    assert kinds["attn2"] is BlendedText
    assert kinds["attn_temp"].__name__ == "TemporalProcessor", "as in the official code"


def test_a_unet_without_attention_there_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"attention to the text .*\['DownBlock2D', 'DownBlock2D'\]"
    ):
        install(_unet((DOWN, DOWN), (UP, UP)), 9)
