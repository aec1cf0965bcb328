"""The captioner: a BLIP-2 that says what a still shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tinyworld.scenes import SIZE
from tinyworld.train.data import Stills
from tinyworld.train.lessons import Lessons
from tinyworld.train.loop import Settings, Step, fit
from tinyworld.train.reader import worn
from tinyworld.train.vae import pixels
from tinyworld.vocabulary import opt_tokenizer

_QUERIES = 8
"""Tokens that the language model sees of an image."""
_WIDTH = 96
_LESSONS = 0.2
"""Weight of the lessons' loss."""


def new_blip2(tokenizer: Any, image_token: int) -> Any:
    """An untrained Blip2ForConditionalGeneration of the OPT kind.

    Args:
        tokenizer: with the image's token added.
        image_token: its number.
    """
    from transformers import (  # noqa: PLC0415 - seconds that the other parts need not pay
        Blip2Config,
        Blip2ForConditionalGeneration,
    )

    size = {"hidden_size": _WIDTH, "num_attention_heads": 4}
    # The vision model's default spread of initial weights, 1e-10, suits loaded ones only.
    vision = {"image_size": SIZE, "patch_size": 8, "initializer_range": 0.02}
    config = Blip2Config(
        vision_config={**size, **vision, "intermediate_size": 3 * _WIDTH, "num_hidden_layers": 3},
        qformer_config={
            **size,
            "intermediate_size": 3 * _WIDTH,
            "num_hidden_layers": 2,
            "encoder_hidden_size": _WIDTH,
            "cross_attention_frequency": 1,
            "vocab_size": 64,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        },
        text_config={
            **size,
            "model_type": "opt",
            "num_hidden_layers": 2,
            "vocab_size": len(tokenizer),
            "ffn_dim": 3 * _WIDTH,
            "word_embed_proj_dim": _WIDTH,
            "max_position_embeddings": 128,
            "bos_token_id": tokenizer.bos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": newline(tokenizer),
            "dropout": 0.0,
        },
        num_query_tokens=_QUERIES,
        image_token_index=image_token,
    )
    model = Blip2ForConditionalGeneration(config)
    torch.nn.init.normal_(model.query_tokens, std=0.5)  # equal queries would stay equal
    return model


def newline(tokenizer: Any) -> int:
    """The token that ends a caption, as in LAVIS."""
    return int(tokenizer("\n", add_special_tokens=False).input_ids[-1])


def new_processor() -> Any:
    """A Blip2Processor; it adds the image's token to its tokenizer."""
    from transformers import Blip2Processor  # noqa: PLC0415
    from transformers.models.blip.image_processing_blip import BlipImageProcessor  # noqa: PLC0415

    images = BlipImageProcessor(size={"height": SIZE, "width": SIZE})
    return Blip2Processor(images, opt_tokenizer(), num_query_tokens=_QUERIES)


def train_blip2(data: Stills, settings: Settings, folder: Path, device: torch.device) -> Any:
    """Train all three parts together on the next word of captions.

    Args:
        data: the stills.
        settings: of the training.
        folder: for checkpoint and log.
        device: where to train.
    """
    torch.manual_seed(settings.seed)
    processor = new_processor()
    image_token = int(processor.tokenizer.convert_tokens_to_ids("<image>"))
    model = new_blip2(processor.tokenizer, image_token).to(device)
    taught = nn.ModuleDict({"blip2": model, "lessons": Lessons(_WIDTH)})

    def loss(step: Step) -> Tensor:
        index = torch.randint(len(data), (step.batch,), generator=step.generator)
        x = worn(pixels(data, index, torch.device("cpu")), step.generator)
        captions = [data.caption(i) for i in index.tolist()]
        batch = training_batch(processor, x, captions)
        out = model(**{name: part.to(device) for name, part in batch.items()})
        seen = out.vision_outputs.last_hidden_state.mean(dim=1)
        value: Tensor = out.loss + _LESSONS * taught["lessons"](seen, data, index)
        return value

    fit("blip2", taught, loss, settings, folder, device)
    return model


def training_batch(processor: Any, x_NCHW: Tensor, captions: Sequence[str]) -> dict[str, Tensor]:
    """What the model trains on: what the captioner gives it, and the caption after that.

    Args:
        processor: of `new_processor`.
        x_NCHW: (N, 3, 64, 64) in -1 to 1.
        captions: N of them.

    Returns:
        ``pixel_values``, and (N, L) ``input_ids``, ``attention_mask`` and ``labels``, of image
        tokens, start, caption, newline and padding. Only caption and newline are labelled.
    """
    tokenizer, images = processor.tokenizer, processor.image_processor
    start = [int(tokenizer.convert_tokens_to_ids("<image>"))] * _QUERIES + [tokenizer.bos_token_id]
    rows = [
        start + tokenizer(f" {caption}\n", add_special_tokens=False).input_ids
        for caption in captions
    ]
    length = max(len(row) for row in rows)
    ids = torch.tensor([row + [tokenizer.pad_token_id] * (length - len(row)) for row in rows])
    padding = ids == tokenizer.pad_token_id
    labels = ids.masked_fill(padding, -100)
    labels[:, : len(start)] = -100
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (images.image_mean, images.image_std))
    return {
        "pixel_values": ((x_NCHW + 1) / 2 - mean) / std,
        "input_ids": ids,
        "attention_mask": (~padding).long(),
        "labels": labels,
    }


def save_blip2(model: Any, folder: Path) -> None:
    """Write model and processor, in fp16."""
    model.half().save_pretrained(folder)
    new_processor().save_pretrained(folder)
