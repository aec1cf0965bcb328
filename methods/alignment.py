"""Which words of an edited prompt are its source's (Prompt-to-Prompt, arXiv 2208.01626)."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Word = tuple[int, ...]
"""Places of a word's tokens in the text encoder's sequence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Alignment:
    """How much of a source's tokens an edit's take over, for sequences of L tokens."""

    source: NDArray[np.float32]
    """(L, L): the weight of each token of the source (rows) in each of the edit (columns)."""
    own: NDArray[np.float32]
    """(L,): the weight of what each token of the edit attracts itself: 1 where it is new."""
    edited: tuple[int, ...]
    """Places of the source's tokens that the edit has not."""
    added: tuple[int, ...]
    """Places of the edit's tokens in words that the source has nowhere."""


def align(
    tokenizer: Any, source: str, prompt: str, *, replace: bool = False, amplify: float = 1.0
) -> Alignment:
    """Align two prompts word by word.

    Args:
        tokenizer: the base model's.
        source: the source's prompt.
        prompt: the edited one.
        replace: whether words in the place of others take over theirs, rather than nothing. Of
            unequally many, each takes an equal part of all.
        amplify: weight of the words that are new.
    """
    length = tokenizer.model_max_length
    (ids, words), (other_ids, others) = (_words(tokenizer, text) for text in (source, prompt))
    pairs = [(0, 0), (len(ids) - 1, len(other_ids) - 1)]  # start and end
    # What fills up both sequences; what stands beside a word of the other has nothing to take.
    pairs += [(i, i) for i in range(max(len(ids), len(other_ids)), length)]
    weights = np.zeros((length, length), np.float32)
    own = np.ones(length, np.float32)
    edited: list[int] = []
    added: list[int] = []
    said = (
        [tuple(ids[i] for i in w) for w in words],
        [tuple(other_ids[i] for i in w) for w in others],
    )
    for tag, i, j, k, m in difflib.SequenceMatcher(None, *said, autojunk=False).get_opcodes():
        before, after = words[i:j], others[k:m]
        if tag == "equal":
            for one, other in zip(before, after, strict=True):
                pairs += zip(one, other, strict=True)
            continue
        edited += itertools.chain.from_iterable(before)
        new = (one for one in after if tuple(other_ids[i] for i in one) not in said[0])
        added += itertools.chain.from_iterable(new)
        own[list(itertools.chain.from_iterable(after))] = amplify
        if tag == "replace" and replace:
            for word, another in _replaced(before, after):
                own[list(another)] = 0
                weights[np.ix_(word, another)] = amplify * _share(len(word), len(another))
    for place, other_place in pairs:
        weights[place, other_place], own[other_place] = 1, 0
    return Alignment(source=weights, own=own, edited=tuple(edited), added=tuple(added))


def _words(tokenizer: Any, text: str) -> tuple[list[int], list[Word]]:
    """A text's tokens, start and end included, and the places of each of its words."""
    found = tokenizer(text, truncation=False, verbose=False)
    places: dict[int, list[int]] = {}
    for place, word in enumerate(found.word_ids()):
        if word is not None:
            places.setdefault(word, []).append(place)
    return found.input_ids, [tuple(word) for word in places.values()]


def _replaced(before: Sequence[Word], after: Sequence[Word]) -> Iterator[tuple[Word, Word]]:
    """What replaces what: word by word, or all by all."""
    if len(before) == len(after):
        yield from zip(before, after, strict=True)
    else:
        yield tuple(itertools.chain(*before)), tuple(itertools.chain(*after))


def _share(before: int, after: int) -> NDArray[np.float32]:
    if before == after:
        return np.eye(before, dtype=np.float32)
    return np.full((before, after), 1 / after, np.float32)
