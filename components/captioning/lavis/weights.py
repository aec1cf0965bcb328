"""The names of BLIP-2's weights: transformers' to LAVIS's."""

from __future__ import annotations

import re

_LAYER = r"vision_model\.encoder\.layers\.(\d+)\."
_BLOCK = r"visual_encoder.blocks.\1."
_RULES = (
    (r"query_tokens", r"query_tokens"),
    (r"language_model\.(.+)", r"opt_model.\1"),
    (r"language_projection\.(.+)", r"opt_proj.\1"),
    (r"qformer\.layernorm\.(.+)", r"Qformer.bert.embeddings.LayerNorm.\1"),
    (r"qformer\.(.+attention)\.attention\.(.+)", r"Qformer.bert.\1.self.\2"),
    (r"qformer\.(.+)", r"Qformer.bert.\1"),
    (r"vision_model\.embeddings\.class_embedding", r"visual_encoder.cls_token"),
    (r"vision_model\.embeddings\.position_embedding", r"visual_encoder.pos_embed"),
    (r"vision_model\.embeddings\.patch_embedding\.(.+)", r"visual_encoder.patch_embed.proj.\1"),
    (r"vision_model\.post_layernorm\.(.+)", r"ln_vision.\1"),
    (_LAYER + r"layer_norm(\d\..+)", _BLOCK + r"norm\2"),
    (_LAYER + r"self_attn\.projection\.(.+)", _BLOCK + r"attn.proj.\2"),
    (_LAYER + r"self_attn\.qkv\.(.+)", _BLOCK + r"attn.qkv.\2"),
    (_LAYER + r"(mlp\..+)", _BLOCK + r"\2"),
)
QKV_BIAS = ".attn.qkv.bias"
"""LAVIS keeps this one's first and last third as ``q_bias`` and ``v_bias``. It has no bias of the
keys: that adds the same to all scores of a query, which the softmax takes away again."""


def lavis_name(name: str) -> str:
    """What LAVIS calls a weight of transformers' Blip2ForConditionalGeneration (OPT kind).

    Raises:
        ValueError: it is no name of such a weight.
    """
    for pattern, replacement in _RULES:
        if found := re.fullmatch(pattern, name):
            return found.expand(replacement)
    raise ValueError(f"{name!r} is no weight of a BLIP-2 with an OPT decoder")
