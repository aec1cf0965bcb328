"""BLIP-2, tiny and random but real: captions follow the image, the prompt and the settings."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from components.captioning.blip2 import Blip2Captioner
from components.config import CaptionConfig
from components.errors import UserError
from tinyworld.vocabulary import WORDS

Images = list[NDArray[np.uint8]]


@pytest.fixture(scope="module")
def config(tiny_models: Path) -> CaptionConfig:
    return CaptionConfig(model=str(tiny_models / "blip2"), max_new_tokens=8)


@pytest.fixture(scope="module")
def captioner(config: CaptionConfig) -> Blip2Captioner:
    return Blip2Captioner(config)


@pytest.fixture(scope="module")
def images() -> Images:
    rng = np.random.default_rng(0)
    coarse = [Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)) for _ in range(6)]
    sizes = [(160, 90), (64, 64), (33, 77)] * 2
    return [np.asarray(image.resize(size)) for image, size in zip(coarse, sizes, strict=True)]


@pytest.fixture(scope="module")
def captions(captioner: Blip2Captioner, images: Images) -> list[str]:
    return captioner(images)


def test_captions_are_words_and_differ_between_images(captions: list[str]) -> None:
    assert len(captions) == 6
    for caption in captions:
        assert caption.isprintable()
        assert set(caption.split()) <= set(WORDS)
        assert len(caption.split()) == 8
    assert len(set(captions)) >= 4


@pytest.mark.parametrize("prompt", ["", "a photo of", "a photo of "])
def test_a_batch_gives_what_single_images_give(
    config: CaptionConfig, images: Images, prompt: str
) -> None:
    captioner = Blip2Captioner(CaptionConfig(model=config.model, prompt=prompt, max_new_tokens=8))
    batch = captioner(images)
    assert batch == [captioner([image])[0] for image in images]
    assert batch == captioner(images[::-1])[::-1]


def test_the_prompt_counts_to_the_space_and_is_no_part_of_the_caption(
    config: CaptionConfig, images: Images, captions: list[str]
) -> None:
    seen = [captions]
    for prompt in ("a photo of", "a photo of "):
        given = CaptionConfig(model=config.model, prompt=prompt, max_new_tokens=8)
        seen.append(Blip2Captioner(given)(images))
        assert not any(caption.startswith(prompt.strip()) for caption in seen[-1])
    assert seen[0] != seen[1] != seen[2]


def test_it_agrees_with_a_plain_forward_loop(config: CaptionConfig, images: Images) -> None:
    """Greedy decoding, spelled out: image tokens, prompt, then the likeliest token each time."""
    greedy = CaptionConfig(model=config.model, prompt="a photo of", num_beams=1, max_new_tokens=8)
    captioner = Blip2Captioner(greedy)
    model, tokenizer = captioner.model, captioner.processor.tokenizer
    size = model.config.vision_config.image_size
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    expected = []
    for image in images:
        square = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)
        pixels = (np.asarray(square) / 255 - mean) / std
        batch = torch.from_numpy(pixels).float().permute(2, 0, 1)[None]  # (1, 3, H, W)
        text = [model.config.image_token_id] * model.config.num_query_tokens
        text += tokenizer("a photo of").input_ids
        new: list[int] = []
        for _ in range(8):
            ids = torch.tensor([text + new])
            with torch.inference_mode():
                scores = model(pixel_values=batch, input_ids=ids).logits[0, -1]
            new.append(int(scores.argmax()))
        expected.append(tokenizer.decode(new).strip())
    assert captioner(images) == expected


def test_a_newline_ends_the_caption(config: CaptionConfig, images: Images) -> None:
    greedy = CaptionConfig(model=config.model, num_beams=1, max_new_tokens=8)
    captioner = Blip2Captioner(greedy)
    (whole,) = captioner(images[:1])
    newline = captioner.processor.tokenizer("\n", add_special_tokens=False).input_ids[0]
    steps = itertools.count(1)

    def third_is_newline(_module: object, _args: object, scores: torch.Tensor) -> torch.Tensor:
        if next(steps) == 3:
            scores[..., newline] = scores.max() + 9
        return scores

    captioner.model.language_model.lm_head.register_forward_hook(third_is_newline)
    assert captioner(images[:1]) == [" ".join(whole.split()[:2])]


def test_punctuation_loses_its_space_as_in_lavis(config: CaptionConfig, images: Images) -> None:
    greedy = CaptionConfig(model=config.model, num_beams=1, max_new_tokens=30)
    captioner = Blip2Captioner(greedy)
    tokenizer = captioner.processor.tokenizer
    forced = iter(tokenizer(" a dog 's ball , red .\n", add_special_tokens=False).input_ids)

    def next_is_forced(_module: object, _args: object, scores: torch.Tensor) -> torch.Tensor:
        scores[..., next(forced)] = scores.max() + 9
        return scores

    captioner.model.language_model.lm_head.register_forward_hook(next_is_forced)
    assert captioner(images[:1]) == ["a dog's ball, red."]


def test_beams_and_length_count(config: CaptionConfig, images: Images, captions: list[str]) -> None:
    greedy = Blip2Captioner(CaptionConfig(model=config.model, num_beams=1, max_new_tokens=8))
    assert greedy(images) != captions
    short = Blip2Captioner(CaptionConfig(model=config.model, num_beams=1, max_new_tokens=3))
    assert short(images) == [" ".join(text.split()[:3]) for text in greedy(images)]


def test_bf16_is_what_computes_when_asked(config: CaptionConfig, images: Images) -> None:
    captioner = Blip2Captioner(CaptionConfig(model=config.model, dtype="bf16", max_new_tokens=3))
    assert captioner.model.language_model.lm_head.weight.dtype == torch.bfloat16
    assert all(captioner(images))


def test_no_images_give_no_captions(captioner: Blip2Captioner) -> None:
    assert captioner([]) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_absent_is_refused(config: CaptionConfig) -> None:
    with pytest.raises(UserError, match=r"0 CUDA devices are visible.*set caption.device=cpu"):
        Blip2Captioner(CaptionConfig(model=config.model, device="cuda"))
    with pytest.raises(UserError, match=r"caption\.device is 'gpu'"):
        Blip2Captioner(CaptionConfig(model=config.model, device="gpu"))


def test_what_is_no_blip2_is_refused(tiny_models: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="blip-2 with an opt decoder is needed"):
        Blip2Captioner(CaptionConfig(model=str(tiny_models / "base" / "text_encoder")))
    with pytest.raises(UserError, match=r"cannot load caption\.model"):
        Blip2Captioner(CaptionConfig(model=str(tmp_path)))


def test_a_processor_of_another_model_is_refused(tiny_models: Path, tmp_path: Path) -> None:
    import json
    import shutil

    mixed = tmp_path / "mixed"
    shutil.copytree(tiny_models / "blip2", mixed)
    config = json.loads((mixed / "config.json").read_text())
    name = next(key for key in config if key.startswith("image_token_i"))
    config[name] -= 1
    (mixed / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="saved together"):
        Blip2Captioner(CaptionConfig(model=str(mixed)))
