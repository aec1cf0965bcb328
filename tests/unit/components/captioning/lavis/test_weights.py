"""Every weight of transformers' BLIP-2 has one name in LAVIS's."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors import safe_open

from components.captioning.lavis.weights import lavis_name


def test_names_are_different_and_leave_nothing_of_transformers_own(tiny_models: Path) -> None:
    with safe_open(tiny_models / "blip2" / "model.safetensors", framework="np") as file:
        names = list(file.keys())
    found = [lavis_name(name) for name in names]
    assert len(set(found)) == len(names) > 100
    tops = {"Qformer", "ln_vision", "opt_model", "opt_proj", "query_tokens", "visual_encoder"}
    assert {name.partition(".")[0] for name in found} == tops
    own = ("layer_norm1", "self_attn.qkv", "vision_model", "attention.attention", "language_")
    assert not [name for name in found if any(part in name for part in own)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("query_tokens", "query_tokens"),
        ("language_projection.bias", "opt_proj.bias"),
        (
            "language_model.model.decoder.layers.3.self_attn.k_proj.weight",
            "opt_model.model.decoder.layers.3.self_attn.k_proj.weight",
        ),
        ("language_model.lm_head.weight", "opt_model.lm_head.weight"),
        ("qformer.layernorm.bias", "Qformer.bert.embeddings.LayerNorm.bias"),
        (
            "qformer.encoder.layer.11.crossattention.attention.query.weight",
            "Qformer.bert.encoder.layer.11.crossattention.self.query.weight",
        ),
        (
            "qformer.encoder.layer.1.attention.output.dense.bias",
            "Qformer.bert.encoder.layer.1.attention.output.dense.bias",
        ),
        (
            "qformer.encoder.layer.0.intermediate_query.dense.bias",
            "Qformer.bert.encoder.layer.0.intermediate_query.dense.bias",
        ),
        ("vision_model.embeddings.class_embedding", "visual_encoder.cls_token"),
        (
            "vision_model.encoder.layers.38.layer_norm2.weight",
            "visual_encoder.blocks.38.norm2.weight",
        ),
        (
            "vision_model.encoder.layers.0.self_attn.projection.bias",
            "visual_encoder.blocks.0.attn.proj.bias",
        ),
    ],
)
def test_names_are_those_of_lavis(name: str, expected: str) -> None:
    assert lavis_name(name) == expected


@pytest.mark.parametrize("name", ["", "encoder.block.0", "vision_model.head.weight", "query_token"])
def test_what_is_no_such_weight_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no weight of a BLIP-2"):
        lavis_name(name)
