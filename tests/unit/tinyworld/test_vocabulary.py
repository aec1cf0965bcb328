"""The tokenizers: nothing is lost on them, and a word of the world is one token."""

from __future__ import annotations

import pytest

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
