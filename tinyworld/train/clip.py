"""The scoring CLIP: an open_clip model that ranks a frame's captions."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tinyworld.edits import one_word_off, swapped
from tinyworld.layout import write_json
from tinyworld.scenes import SIZE, Scene
from tinyworld.train.data import Stills, said
from tinyworld.train.lessons import Lessons
from tinyworld.train.loop import Settings, Step, fit
from tinyworld.train.reader import worn
from tinyworld.train.vae import pixels
from tinyworld.vocabulary import clip_tokenizer

_TEXT_LENGTH = 32
_WRONG = 2
"""Captions per still that are wrong in one word, what an edit changes; one more swaps colours."""
_LESSONS = 0.3
"""Weight of the lessons' loss."""
_SHARPEST = 4.6052
"""Logarithm of the largest scale of a cosine, 100 as in CLIP."""


def model_config(vocabulary: int) -> dict[str, Any]:
    """open_clip's configuration of the model, for a tokenizer of so many tokens."""
    return {
        "embed_dim": 64,
        "vision_cfg": {
            "width": 96,
            "layers": 4,
            "image_size": SIZE,
            "patch_size": 8,
            "head_width": 32,
        },
        "text_cfg": {
            "width": 64,
            "layers": 2,
            "heads": 2,
            "context_length": _TEXT_LENGTH,
            "vocab_size": vocabulary,
            "hf_tokenizer_name": "tinyworld",  # read from the model's own folder
        },
    }


class _Taught(nn.Module):
    """The model and the lessons of its images, so that one optimiser trains both."""

    def __init__(self, vocabulary: int) -> None:
        import open_clip  # noqa: PLC0415 - seconds that the other parts need not pay

        super().__init__()
        config = model_config(vocabulary)
        self.clip = open_clip.CLIP(**config)
        self.lessons = Lessons(config["embed_dim"])


def train_clip(data: Stills, settings: Settings, folder: Path, device: torch.device) -> nn.Module:
    """Train on stills and captions, each with captions that are nearly right.

    Args:
        data: the stills.
        settings: of the training; another seed than the generator's text encoder has.
        folder: for checkpoint and log.
        device: where to train.
    """
    torch.manual_seed(settings.seed)
    tokenizer = clip_tokenizer(max_length=_TEXT_LENGTH)
    model = _Taught(len(tokenizer)).to(device)
    clip: Any = model.clip

    def loss(step: Step) -> Tensor:
        index = torch.randint(len(data), (step.batch,), generator=step.generator)
        x = worn(pixels(data, index, torch.device("cpu")), step.generator).to(device)
        scenes, texts = _captions([data.scene(i) for i in index.tolist()], step.rng())
        ids = tokenizer(texts, padding="max_length", max_length=_TEXT_LENGTH, return_tensors="pt")
        image = clip.encode_image(x).float()
        text = clip.encode_text(ids.input_ids.to(device), normalize=True).float()
        scale = clip.logit_scale.clamp(max=_SHARPEST).exp()
        logits = scale * functional.normalize(image, dim=-1) @ text.T
        # Two stills of equal words are no mistake of each other.
        same = _equal(scenes, step.batch).fill_diagonal_(fill_value=False)
        logits = logits.masked_fill(same.to(device), -torch.inf)
        target = torch.arange(step.batch, device=device)
        both: Tensor = functional.cross_entropy(logits, target) + functional.cross_entropy(
            logits[:, : step.batch].T, target
        )
        lessons: Tensor = model.lessons(image, data, index)
        return both / 2 + _LESSONS * lessons

    fit("clip", model, loss, settings, folder, device)
    trained: nn.Module = clip
    return trained


def _captions(scenes: list[Scene], rng: np.random.Generator) -> tuple[list[Scene], list[str]]:
    """What is said of N stills: N right captions, then those that are wrong in a word or swap."""
    wrong = [one_word_off(scene, rng) for _ in range(_WRONG) for scene in scenes]
    everything = [*scenes, *wrong, *(swapped(scene, rng) for scene in scenes)]
    return everything, [said(scene, rng) for scene in everything]


def _equal(scenes: Sequence[Scene], first: int) -> Tensor:
    """Whether each of the first scenes has the words of each of all: (first, all) bool."""
    numbers: dict[Hashable, int] = {}
    keys = torch.tensor([numbers.setdefault(_key(scene), len(numbers)) for scene in scenes])
    return keys[:first, None] == keys[None]


def _key(scene: Scene) -> Hashable:
    return frozenset(scene.words.things), scene.background, scene.style


def save_clip(model: nn.Module, folder: Path) -> None:
    """Write an open_clip folder with its own tokenizer, in fp16."""
    from safetensors.torch import save_file  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = clip_tokenizer(max_length=_TEXT_LENGTH)
    tokenizer.save_pretrained(folder)
    state = {name: value.half().cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    half = {"mean": [0.5] * 3, "std": [0.5] * 3}
    document = {"model_cfg": model_config(len(tokenizer)), "preprocess_cfg": half}
    write_json(folder / "open_clip_config.json", document)
