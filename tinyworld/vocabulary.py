"""Byte-level BPE tokenizers made in memory: any text is covered, a common word is one token."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from typing import Any

from tinyworld import scenes

_EXTRA = """a an the is are in on over of at and with to
    red blue yellow green grey white black orange purple pink golden
    fish shark car truck bus star moon boat bird house tree cat dog balloon
    sea sky sand snow grass desert forest city road night day sunset
    swimming driving rising flying floating moving bouncing running
    photo video cartoon sketch mosaic pixel watercolor painting style art"""

WORDS = tuple(dict.fromkeys((*_EXTRA.split(), *scenes.WORDS)))
"""Each of these is one token. BLIP-2 with random weights strings them together as captions."""


def clip_tokenizer(*, max_length: int = 77) -> Any:
    """A transformers CLIPTokenizer of `max_length` tokens, whose words end in ``</w>``."""
    from transformers import CLIPTokenizer  # noqa: PLC0415 - seconds that `--help` need not cost

    alphabet = _byte_alphabet()
    merges = _learn_merges((*word[:-1], f"{word[-1]}</w>") for word in WORDS)
    tokens = (
        *alphabet,
        *(f"{symbol}</w>" for symbol in alphabet),
        *_joined(merges),
        *("<|startoftext|>", "<|endoftext|>"),  # the last two, as in CLIP
    )
    return CLIPTokenizer(vocab=_ids(tokens), merges=merges, model_max_length=max_length)


def opt_tokenizer() -> Any:
    """OPT's kind of GPT2Tokenizer, whose words begin with their space (shown as ``Ġ``)."""
    from transformers import GPT2Tokenizer  # noqa: PLC0415

    special = ("<s>", "<pad>", "</s>", "<unk>")  # OPT's ids 0 to 3
    merges = _learn_merges(("Ġ", *word) for word in WORDS)
    return GPT2Tokenizer(
        vocab=_ids((*special, *_byte_alphabet(), *_joined(merges))),
        merges=merges,
        **dict.fromkeys(("bos_token", "eos_token", "unk_token"), special[2]),
        pad_token=special[1],
        add_bos_token=True,
        padding_side="left",
        model_max_length=128,
    )


def _byte_alphabet() -> list[str]:
    """The 256 printable characters that stand for the bytes, sorted."""
    from tokenizers.pre_tokenizers import ByteLevel  # noqa: PLC0415

    return sorted(ByteLevel.alphabet())


def _ids(tokens: Iterable[str]) -> dict[str, int]:
    return {token: index for index, token in enumerate(tokens)}


def _joined(merges: Iterable[tuple[str, str]]) -> list[str]:
    return list(dict.fromkeys(left + right for left, right in merges))


def _learn_merges(words: Iterable[tuple[str, ...]]) -> list[tuple[str, str]]:
    """Join the most frequent pair (ties: the first by text) until every word is one symbol."""
    parts = [list(word) for word in words]
    merges: list[tuple[str, str]] = []
    while counts := Counter(pair for word in parts for pair in itertools.pairwise(word)):
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        parts = [_join(word, best) for word in parts]
    return merges


def _join(word: list[str], pair: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    index = 0
    while index < len(word):
        if tuple(word[index : index + 2]) == pair:
            joined.append(pair[0] + pair[1])
            index += 2
        else:
            joined.append(word[index])
            index += 1
    return joined
