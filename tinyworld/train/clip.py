"""The scoring CLIP: an open_clip model that ranks a frame's captions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from tinyworld.draw import render_at
from tinyworld.layout import write_json
from tinyworld.scenes import ATTRIBUTES, MOTIONS, Scene
from tinyworld.train.data import Stills
from tinyworld.train.loop import Settings, Step, fit
from tinyworld.train.reader import worn
from tinyworld.train.vae import pixels
from tinyworld.vocabulary import clip_tokenizer

_TEXT_LENGTH = 32
_SHARPEST = 4.6052
"""Logarithm of the largest scale of a cosine, 100 as in CLIP."""


def model_config(vocabulary: int) -> dict[str, Any]:
    """open_clip's configuration of the model, for a tokenizer of so many tokens."""
    tower = {"width": 128, "layers": 4}
    return {
        "embed_dim": 64,
        "vision_cfg": {**tower, "image_size": 64, "patch_size": 8, "head_width": 32},
        "text_cfg": {
            **tower,
            "layers": 2,
            "heads": 4,
            "context_length": _TEXT_LENGTH,
            "vocab_size": vocabulary,
            "hf_tokenizer_name": "tinyworld",  # read from the model's own folder
        },
    }


def train_clip(data: Stills, settings: Settings, folder: Path, device: torch.device) -> nn.Module:
    """Train on stills and captions, each with a caption that is wrong in one word.

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
        wrong = _one_word_off(right, step.generator)
        texts = _captions(np.concatenate([right, wrong]), step.generator)
        ids = tokenizer(texts, padding="max_length", max_length=_TEXT_LENGTH, return_tensors="pt")
        image = model.encode_image(x.to(device), normalize=True).float()
        text = model.encode_text(ids.input_ids.to(device), normalize=True).float()
        logits = model.logit_scale.clamp(max=_SHARPEST).exp() * image @ text.T
        # Two stills of equal words are no mistake of each other.
        words = torch.from_numpy(np.concatenate([right, wrong]))
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


def retrieval_accuracy(
    encode_frames: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.floating[Any]]],
    encode_text: Callable[[str], npt.NDArray[np.floating[Any]]],
    scenes: Sequence[Scene],
    *,
    among: int = 32,
    seed: int = 0,
) -> float:
    """Percent of stills whose own caption is the likeliest of `among` different ones.

    Args:
        encode_frames: (N, 64, 64, 3) uint8 to embeddings (N, D) of length 1.
        encode_text: a caption to its embedding (D,).
        scenes: what the stills show; the wrong captions are other scenes'.
        among: captions to choose from.
        seed: of the choice of the wrong captions.
    """
    frames = np.concatenate([render_at(s, np.array([0.5])).frames for s in scenes])
    images_ND = encode_frames(frames)
    captions = [scene.caption(motion=False) for scene in scenes]
    known = {caption: encode_text(caption) for caption in dict.fromkeys(captions)}
    names = list(known)
    texts_MD = np.stack(list(known.values()))
    rng = np.random.default_rng(seed)
    hits = 0
    for image_D, caption in zip(images_ND, captions, strict=True):
        own = names.index(caption)
        others = rng.permutation([k for k in range(len(names)) if k != own])[: among - 1]
        hits += bool((texts_MD[others] @ image_D).max() < texts_MD[own] @ image_D)
    return 100 * hits / len(scenes)


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
