"""The tokenizers: nothing is lost on them, and a word of the world is one token."""

from __future__ import annotations

import pytest
from hypothesis import given

from tests.drawn_scenes import scenes
from tinyworld.scenes import Scene
from tinyworld.train.diffusion import TEXT_LENGTH
from tinyworld.vocabulary import WORDS, clip_tokenizer, opt_tokenizer


@pytest.mark.parametrize("text", ["a red fish, over the sea!", "żółw 日本 🐢", "tab\tand\x00zero"])
def test_both_tokenizers_cover_any_text(text: str) -> None:
    opt = opt_tokenizer()
    assert opt.decode(opt(text, add_special_tokens=False).input_ids) == text
    ids = clip_tokenizer()(text, add_special_tokens=False).input_ids
    assert clip_tokenizer().unk_token_id not in ids


def test_common_words_are_one_token() -> None:
    assert len(clip_tokenizer()(" ".join(WORDS), add_special_tokens=False).input_ids) == len(WORDS)
    spaced = "".join(f" {word}" for word in WORDS)
    assert len(opt_tokenizer()(spaced, add_special_tokens=False).input_ids) == len(WORDS)


@given(scenes())
def test_a_caption_is_short_enough_for_every_model(shown: Scene) -> None:
    caption = shown.caption()
    words = len(caption.replace(",", " ,").split())
    assert len(clip_tokenizer(max_length=TEXT_LENGTH)(caption).input_ids) == words + 2 <= 17
    assert len(opt_tokenizer()(f" {caption}", add_special_tokens=False).input_ids) == words
