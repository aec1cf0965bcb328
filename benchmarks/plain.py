"""The same inflated UNet computed in the plain way, to measure against on the same machine.

Plain is how the official code computes it, as far as arithmetic goes: attention as a batched
product, a softmax and another product; keys and values of the first and former frame copied for
every frame; the text repeated for every frame; the clip-wide norm on a (B, C, F, H, W) tensor;
contiguous memory instead of channels_last; all that autograd keeps by itself. The output is the
same (tests/unit/benchmarks).
"""

from __future__ import annotations

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor
from torch.nn import functional

from tav_model.layers import Clip, ClipGroupNorm
from tav_model.lean import LEAN
from tav_model.unet import ClipBlock, ClipUNet


def make_plain(unet: ClipUNet) -> None:
    """Replace what is computed otherwise in a `sparse_causal` UNet, in place.

    Args:
        unet: its weights are kept.
    """
    for module in unet.modules():
        if isinstance(module, ClipBlock):
            module.attn1.set_processor(_Plain(unet.clip, "sparse_causal"))
            module.attn2.set_processor(_Plain(unet.clip, "text"))
            module.attn_temp.set_processor(_Plain(unet.clip, "temporal"))
        elif isinstance(module, ClipGroupNorm):
            module.__class__ = _PlainGroupNorm
        for stock, lean in LEAN.items():
            if type(module) is lean:
                module.__class__ = stock
    unet.to(memory_format=torch.contiguous_format)


class _PlainGroupNorm(ClipGroupNorm):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the name is nn.GroupNorm's)
        n, c, h, w = input.shape
        clips_BCFHW = input.reshape(-1, self.clip.frames, c, h, w).transpose(1, 2).contiguous()
        out = functional.group_norm(clips_BCFHW, self.num_groups, self.weight, self.bias, self.eps)
        out = out.transpose(1, 2).reshape(n, c, h, w)
        return functional.silu(out) if self.silu else out


class _Plain:
    """diffusers' product-softmax-product attention over keys that are gathered by copying."""

    def __init__(self, clip: Clip, kind: str) -> None:
        self.clip = clip
        self.kind = kind

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        **_: object,
    ) -> Tensor:
        n, s, c = hidden_states.shape
        f = self.clip.frames
        x = hidden_states
        if self.kind == "temporal":
            x = x.view(-1, f, s, c).transpose(1, 2).reshape(-1, f, c)
        seen = x
        if encoder_hidden_states is not None:
            seen = encoder_hidden_states.repeat_interleave(f, dim=0)
        q, k, v = attn.to_q(x), attn.to_k(seen), attn.to_v(seen)
        if self.kind == "sparse_causal":
            former = torch.arange(f) - 1
            former[0] = 0
            k, v = (
                torch.cat([y[:, [0] * f], y[:, former]], dim=2).flatten(0, 1)
                for y in (k.view(-1, f, s, k.shape[-1]), v.view(-1, f, s, v.shape[-1]))
            )
        q, k, v = (attn.head_to_batch_dim(y) for y in (q, k, v))
        weights = attn.get_attention_scores(q, k)
        out = attn.batch_to_head_dim(torch.bmm(weights, v))
        if self.kind == "temporal":
            out = out.view(-1, s, f, c).transpose(1, 2).reshape(n, s, c)
        return attn.to_out[0](out)  # type: ignore[no-any-return]
