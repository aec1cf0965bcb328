"""What a caption must say before a model is tuned on it (docs/captioning.md)."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Sequence

import regex

# Letters with their marks, digits and apostrophes; or one emoji.
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}'’]+|\p{Extended_Pictographic}")
_NAMES_SOMETHING = regex.compile(r"\p{L}|\p{Extended_Pictographic}")
_ONE_LATIN_LETTER = regex.compile(r"\p{Latin}\p{M}*")
_LOOP = 3
"""As often does a text of nothing but one piece repeat it; "a tuk tuk" is a caption."""

_EMPTY = """
a an the this that these those it its it's he she they i you we who which what there here one
is are was were be been being am do does did has have had can could will would may might should
of in on at by to from for with without and or but as into onto over under up down near next
very really so too quite some any many much more most several few lot lots no not n't
photo photos photograph photographs picture pictures pic pics image images video videos
footage shot shots scene view close closeup show shows showing shown depict depicts depicting
see seen taken called something anything nothing thing things unknown
"""
EMPTY_WORDS = frozenset(_EMPTY.split())
"""English words, which BLIP-2 writes, that name nothing to be seen."""


@functools.lru_cache(1 << 17)  # a run's captions are looked through after every step
def fault(caption: str, prompt: str) -> str | None:
    """Why a caption says nothing that could be tuned on, or none when it says something.

    Args:
        caption: What a captioner gave, without the prompt that it continued.
        prompt: That prompt, ``caption.prompt``.
    """
    if not caption.strip():
        return "is empty"
    words = _words(caption)
    own = _without(words, _words(prompt))
    telling = [word for word in own if _tells(word)]
    if not telling:
        echo = any(map(_tells, words))
        return "only repeats caption.prompt" if echo else "names nothing that is to be seen"
    if _loops("".join(telling)):
        return "only repeats itself"
    return None


def _words(text: str) -> list[str]:
    folded = unicodedata.normalize("NFC", text.casefold())
    return [word.replace("’", "'").strip("'") for word in _WORD.findall(folded)]


def _tells(word: str) -> bool:
    return (
        word not in EMPTY_WORDS
        and _NAMES_SOMETHING.search(word) is not None
        and _ONE_LATIN_LETTER.fullmatch(word) is None
    )


def _without(words: Sequence[str], prompt: Sequence[str]) -> list[str]:
    """The words without the prompt, wherever it stands, perhaps cut off at the end."""
    kept: list[str] = []
    at = 0
    while at < len(words):
        some = words[at : at + len(prompt)]
        if some and list(some) == list(prompt[: len(some)]) and (len(some) > 1 or at == 0):
            at += len(some)
        else:
            kept.append(words[at])
            at += 1
    return kept


def _loops(text: str) -> bool:
    """Whether a text is one piece again and again, the last time perhaps cut off."""
    return any(
        text == (text[:size] * (len(text) // size + 1))[: len(text)]
        for size in range(1, len(text) // _LOOP + 1)
    )
