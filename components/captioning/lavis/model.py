"""BLIP-2 of LAVIS's own parts and code, with weights in transformers' format.

Runs in LAVIS's environment. Preprocessing, model, decoding and tokenizer are LAVIS's; only how the
model is put together is not, since its constructor knows one size and downloads its parts by name.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import sys
import types
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from components.captioning.lavis.weights import QKV_BIAS, lavis_name

_LM_HEAD = "opt_model.lm_head.weight"
_SHORT = re.compile(r"opt_model\.|visual_encoder\.(patch_embed|blocks\.\d+\.(attn|mlp))\.")
"""Weights of which LAVIS keeps 16 bits: the decoder, and the vision model's matrices."""


class Captioner:
    """A loaded BLIP-2 that continues a prompt for each image, or describes it freely."""

    def __init__(self, settings: dict[str, Any], scratch: Path) -> None:
        """Load the model.

        Args:
            settings: What ``components.captioning.lavis.captioner`` sends first.
            scratch: A folder for small files, needed no longer than this takes.

        Raises:
            ValueError: the weights are not those of such a model.
        """
        import torch

        import_lavis()
        from lavis.processors.blip_processors import BlipImageEvalProcessor

        self._settings = settings
        self._device = torch.device(settings["device"])
        self._dtype: torch.dtype = getattr(torch, settings["dtype"])
        size = settings["vision"]["image_size"]
        self._pixels = BlipImageEvalProcessor(size, settings["mean"], settings["std"])
        self._model = _assemble(settings, scratch)
        _load_weights(self._model, settings["weights"], self._dtype)
        self._model.maybe_autocast = self._precision  # its own is fp16 on any GPU
        self._model.to(self._device).eval()

    def __call__(self, images: Sequence[Any]) -> list[str]:
        """(H, W, 3) uint8 images to captions."""
        import torch
        from PIL import Image

        pixels = torch.stack([self._pixels(Image.fromarray(image)) for image in images])
        captions: list[str] = self._model.generate(
            {"image": pixels.to(self._device), "prompt": self._settings["prompt"]},
            num_beams=self._settings["num_beams"],
            max_length=self._settings["max_new_tokens"],
            length_penalty=self._settings["length_penalty"],
        )
        return captions

    def _precision(self) -> AbstractContextManager[Any]:
        import torch

        if self._dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self._device.type, self._dtype)


def import_lavis() -> None:
    """Import what captions, and let no more be imported than that.

    LAVIS's packages import every model, task and data set that there is, with tens of packages that
    captioning never calls and that this environment does not hold.
    """
    spec = importlib.util.find_spec("lavis")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("LAVIS is not installed here")
    root = Path(spec.origin).parent
    for name in ("lavis", "lavis.models", "lavis.models.blip2_models", "lavis.processors"):
        package = types.ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
    # Those two are looked for in their packages, when a model or processor is registered.
    from lavis.models.base_model import BaseModel
    from lavis.processors.base_processor import BaseProcessor

    sys.modules["lavis.models"].BaseModel = BaseModel  # type: ignore[attr-defined]
    sys.modules["lavis.processors"].BaseProcessor = BaseProcessor  # type: ignore[attr-defined]
    for name in ("lavis.models.blip2_models.blip2_opt", "lavis.processors.blip_processors"):
        importlib.import_module(name)


def _assemble(settings: dict[str, Any], scratch: Path) -> Any:
    """LAVIS's Blip2OPT from its own parts, in the sizes asked for, without weights."""
    import torch
    from lavis.models.blip2_models.blip2 import LayerNorm
    from lavis.models.blip2_models.blip2_opt import Blip2OPT
    from lavis.models.blip2_models.modeling_opt import OPTConfig, OPTForCausalLM

    model = Blip2OPT.__new__(Blip2OPT)
    torch.nn.Module.__init__(model)
    model.visual_encoder = _vision(settings["vision"])
    model.ln_vision = LayerNorm(settings["vision"]["hidden_size"])
    model.Qformer = _qformer(settings)
    width = settings["qformer"]["hidden_size"]
    model.query_tokens = torch.nn.Parameter(torch.zeros(1, settings["num_query_tokens"], width))
    config = OPTConfig(**settings["text"])
    with torch.device("meta"):  # drawing billions of numbers that are then replaced takes a minute
        model.opt_model = OPTForCausalLM(config)
    model.opt_proj = torch.nn.Linear(width, config.hidden_size)
    model.opt_tokenizer = _tokenizer(settings["tokenizer"], scratch)
    model.eos_token_id = model.opt_tokenizer("\n", add_special_tokens=False).input_ids[0]
    return model


def _vision(sizes: dict[str, Any]) -> Any:
    import torch
    from lavis.models.eva_vit import VisionTransformer

    return VisionTransformer(
        img_size=sizes["image_size"],
        patch_size=sizes["patch_size"],
        use_mean_pooling=False,
        embed_dim=sizes["hidden_size"],
        depth=sizes["num_hidden_layers"],
        num_heads=sizes["num_attention_heads"],
        mlp_ratio=(sizes["intermediate_size"] + 0.5) / sizes["hidden_size"],  # is rounded down
        qkv_bias=True,
        norm_layer=partial(torch.nn.LayerNorm, eps=sizes["layer_norm_eps"]),
    )


def _qformer(settings: dict[str, Any]) -> Any:
    from lavis.models.blip2_models.Qformer import BertConfig, BertLMHeadModel

    sizes = settings["qformer"]
    config = BertConfig(
        **{name: value for name, value in sizes.items() if name != "model_type"},
        encoder_width=sizes["encoder_hidden_size"],
        add_cross_attention=True,
        cross_attention_freq=sizes["cross_attention_frequency"],
        query_length=settings["num_query_tokens"],
    )
    qformer = BertLMHeadModel(config)
    # As LAVIS does: what reads text is not used here.
    qformer.cls = None
    qformer.bert.embeddings.word_embeddings = None
    qformer.bert.embeddings.position_embeddings = None
    for layer in qformer.bert.encoder.layer:
        layer.output = None
        layer.intermediate = None
    return qformer


def _tokenizer(document: dict[str, Any], scratch: Path) -> Any:
    """The kind of tokenizer that LAVIS has, of the same tokens.

    Args:
        document: A tokenizer.json, with ``special`` tokens by name (``bos`` and so on) beside it.
        scratch: For the two files that the old format takes.
    """
    from transformers import GPT2Tokenizer

    model = document["model"]
    merges = (pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"])
    added = sorted(document["added_tokens"], key=lambda token: token["id"])
    vocabulary, rules = scratch / "vocab.json", scratch / "merges.txt"
    vocabulary.write_text(json.dumps(model["vocab"]), encoding="utf-8")
    rules.write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    tokenizer = GPT2Tokenizer(
        str(vocabulary),
        str(rules),
        add_bos_token=True,
        **{f"{name}_token": token for name, token in document["special"].items()},
    )
    tokenizer.add_tokens([token["content"] for token in added], special_tokens=True)
    for token in added:
        if tokenizer.convert_tokens_to_ids(token["content"]) != token["id"]:
            raise ValueError(f"the tokenizer's added token {token} would get another id")
    return tokenizer


def _load_weights(model: Any, files: Sequence[str], dtype: Any) -> None:
    """Load transformers' weights; every weight must find its place, and every place its weight."""
    import torch
    from safetensors.torch import load_file

    state: dict[str, torch.Tensor] = {}
    for file in files:
        for name, value in load_file(file).items():
            place = lavis_name(name)
            if place.endswith(QKV_BIAS):
                stem = place.removesuffix("qkv.bias")
                state[f"{stem}q_bias"], _, state[f"{stem}v_bias"] = value.float().chunk(3)
            else:
                state[place] = value.to(dtype if _SHORT.match(place) else torch.float32)
    missing, surplus = model.load_state_dict(state, strict=False, assign=True)
    model.opt_model.tie_weights()
    missing = [name for name in missing if not name.endswith("position_ids")]
    if _LM_HEAD in missing and not model.opt_model.lm_head.weight.is_meta:
        missing.remove(_LM_HEAD)  # it is the embedding's
    if missing or surplus:
        raise ValueError(f"weights are missing ({missing[:3]}) or too many ({surplus[:3]})")
