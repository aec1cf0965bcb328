"""The scoring CLIP: an open_clip model that ranks a frame's captions."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from tinyworld.draw import stills
from tinyworld.layout import write_json
from tinyworld.scenes import ATTRIBUTES, MOTIONS, SIZE, Attribute, Scene, random_scene
from tinyworld.train.data import Stills
from tinyworld.train.loop import Settings, Step, fit
from tinyworld.train.reader import worn
from tinyworld.train.vae import pixels
from tinyworld.vocabulary import clip_tokenizer

_TEXT_LENGTH = 32
_WRONG = 2
"""Captions per still that are wrong in one word: what an edit changes."""
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


def train_clip(data: Stills, settings: Settings, folder: Path, device: torch.device) -> nn.Module:
    """Train on stills and captions, each with captions that are wrong in one word.

    Args:
        data: the stills.
        settings: of the training; another seed than the generator's text encoder has.
        folder: for checkpoint and log.
        device: where to train.
    """
    import open_clip  # noqa: PLC0415 - seconds that the other parts need not pay

    torch.manual_seed(settings.seed)
    tokenizer = clip_tokenizer(max_length=_TEXT_LENGTH)
    model = open_clip.CLIP(**model_config(len(tokenizer))).to(device)

    def loss(step: Step) -> Tensor:
        index = torch.randint(len(data), (step.batch,), generator=step.generator)
        x = worn(pixels(data, index, torch.device("cpu")), step.generator)
        right = data.classes[index.numpy()]
        wrong = [_one_word_off(right, step.generator) for _ in range(_WRONG)]
        classes = np.concatenate([right, *wrong])
        texts = _captions(classes, step.generator)
        ids = tokenizer(texts, padding="max_length", max_length=_TEXT_LENGTH, return_tensors="pt")
        image = model.encode_image(x.to(device), normalize=True).float()
        text = model.encode_text(ids.input_ids.to(device), normalize=True).float()
        logits = model.logit_scale.clamp(max=_SHARPEST).exp() * image @ text.T
        # Two stills of equal words are no mistake of each other.
        words = torch.from_numpy(classes)
        same = (words[: step.batch, None] == words[None]).all(dim=-1)
        same.fill_diagonal_(fill_value=False)
        logits = logits.masked_fill(same.to(device), -torch.inf)
        target = torch.arange(step.batch, device=device)
        both: Tensor = functional.cross_entropy(logits, target) + functional.cross_entropy(
            logits[:, : step.batch].T, target
        )
        return both / 2

    return fit("clip", model, loss, settings, folder, device)


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


EncodeFrames = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.floating[Any]]]
"""(N, 64, 64, 3) to embeddings (N, D) of length 1."""
EncodeText = Callable[[str], npt.NDArray[np.floating[Any]]]
"""A caption to its embedding (D,) of length 1."""


def retrieval_accuracy(
    encode_frames: EncodeFrames,
    encode_text: EncodeText,
    scenes: Sequence[Scene],
    *,
    among: int = 32,
    seed: int = 0,
) -> float:
    """Percent of stills whose own caption is the likeliest of `among` different ones.

    Args:
        encode_frames: embeds stills.
        encode_text: embeds a caption.
        scenes: what the stills show; the wrong captions are of any scenes.
        among: captions to choose from, without motion words.
        seed: of the choice of the wrong captions.
    """
    images_ND = encode_frames(stills(scenes))
    encode = functools.cache(encode_text)
    rng = np.random.default_rng(seed)
    hits = 0
    for image_D, scene in zip(images_ND, scenes, strict=True):
        captions = {scene.caption(motion=False): None}
        while len(captions) < among:
            captions[random_scene(rng, held_out=None).caption(motion=False)] = None
        hits += _is_best(image_D, [encode(caption) for caption in captions])
    return 100 * hits / len(scenes)


def edit_accuracy(
    encode_frames: EncodeFrames, encode_text: EncodeText, scenes: Sequence[Scene]
) -> dict[Attribute, float]:
    """Percent of stills whose own caption beats every one that differs in one attribute's word.

    Args:
        encode_frames: embeds stills.
        encode_text: embeds a caption.
        scenes: what the stills show.
    """
    images_ND = encode_frames(stills(scenes))
    encode = functools.cache(encode_text)
    found = {}
    for name, words in ATTRIBUTES.items():
        hits = 0
        for image_D, scene in zip(images_ND, scenes, strict=True):
            own = getattr(scene, name)
            ordered = (own, *(word for word in words if word != own))
            edits = [dataclasses.replace(scene, **{name: word}) for word in ordered]
            hits += _is_best(image_D, [encode(edit.caption(motion=False)) for edit in edits])
        found[name] = 100 * hits / len(scenes)
    return found


def _is_best(
    image_D: npt.NDArray[np.floating[Any]], texts: Sequence[npt.NDArray[np.floating[Any]]]
) -> bool:
    """Whether the first text is nearer than all others (a tie is none)."""
    own, *others = (float(text_D @ image_D) for text_D in texts)
    return own > max(others)


def _one_word_off(classes_N4: npt.NDArray[np.int64], g: torch.Generator) -> npt.NDArray[np.int64]:
    """The same words but for one, which is another of its kind."""
    out = classes_N4.copy()
    sizes = [len(words) for words in ATTRIBUTES.values()]
    which = torch.randint(len(sizes), (len(out),), generator=g).tolist()
    chance = torch.rand(len(out), generator=g).tolist()
    for row, (k, part) in enumerate(zip(which, chance, strict=True)):
        out[row, k] = (out[row, k] + 1 + int(part * (sizes[k] - 1))) % sizes[k]
    return out


def _captions(classes_N4: npt.NDArray[np.int64], generator: torch.Generator) -> list[str]:
    """Captions, half of them with some motion, which a frame does not show."""
    chance = torch.rand(len(classes_N4), 2, generator=generator).tolist()
    out = []
    for row, (moves, which) in zip(classes_N4.tolist(), chance, strict=True):
        words = {name: ATTRIBUTES[name][k] for name, k in zip(ATTRIBUTES, row, strict=True)}
        scene = Scene(**words, motion=MOTIONS[int(which * len(MOTIONS))])
        out.append(scene.caption(motion=moves < 0.5))  # noqa: PLR2004
    return out
