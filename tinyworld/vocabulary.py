"""Byte-level BPE vocabularies made in memory: any text is covered, a common word is one token."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WORDS = tuple(
    """a an the is are in on over of at and with to
    red blue yellow green grey white black orange purple pink golden
    fish shark car truck bus star moon boat bird house tree cat dog balloon
    sea sky sand snow grass desert forest city road night day sunset
    swimming driving rising flying floating moving bouncing running
    photo video cartoon sketch mosaic pixel watercolor painting style art""".split()  # noqa: SIM905
)
"""Each of these is one token. BLIP-2 with random weights strings them together as captions."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a byte-level BPE tokenizer is built from."""

    tokens: tuple[str, ...]
    """Token texts, in the tokenizers' printable byte alphabet."""
    merges: tuple[tuple[str, str], ...]
    """Pairs joined, in order of rank."""

    def ids(self, *, offset: int = 0) -> dict[str, int]:
        """Token texts with consecutive ids from ``offset``."""
        return {token: offset + index for index, token in enumerate(self.tokens)}


def clip_vocabulary(words: Sequence[str] = WORDS) -> Vocabulary:
    """CLIP's kind: the last symbol of a word carries the suffix ``</w>``; no special tokens."""
    alphabet = byte_alphabet()
    merges = _learn_merges((*word[:-1], f"{word[-1]}</w>") for word in words)
    ends = tuple(f"{symbol}</w>" for symbol in alphabet)
    return Vocabulary((*alphabet, *ends, *_joined(merges)), merges)


def gpt2_vocabulary(words: Sequence[str] = WORDS) -> Vocabulary:
    """GPT-2's and OPT's kind: a word begins with its space (shown as ``Ġ``); no special tokens."""
    merges = _learn_merges(("Ġ", *word) for word in words)
    return Vocabulary((*byte_alphabet(), *_joined(merges)), merges)


def byte_alphabet() -> tuple[str, ...]:
    """The 256 printable characters that stand for the bytes, sorted."""
    from tokenizers.pre_tokenizers import ByteLevel  # noqa: PLC0415 - beside its only use

    return tuple(sorted(ByteLevel.alphabet()))


def _joined(merges: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(left + right for left, right in merges))


def _learn_merges(words: Iterable[tuple[str, ...]]) -> tuple[tuple[str, str], ...]:
    """Join the most frequent pair (ties: the first by text) until every word is one symbol."""
    parts = [list(word) for word in words]
    merges: list[tuple[str, str]] = []
    while counts := Counter(pair for word in parts for pair in itertools.pairwise(word)):
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        parts = [_join(word, best) for word in parts]
    return tuple(merges)


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
