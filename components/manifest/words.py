"""Words of a text in any script, found by what readers take for its characters.

Characters are extended grapheme clusters (Unicode Standard Annex #29): a letter with its accents, a
syllable of Hangul, an emoji with its skin tone. They are compared without case in canonical form
(Unicode Standard, definition D145), so composed and decomposed text match. What is not replaced
stays as it was.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import regex

_CHARACTER = regex.compile(r"\X")
_OF_WORDS = regex.compile(r"[\w\p{N}]")
# Han, the Japanese syllabaries, Bopomofo, and what line breaking calls "complex context": Thai,
# Lao, Khmer, Burmese and their like.
_WITHOUT_BLANKS = regex.compile(r"[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Bopo}\p{lb=SA}]")
_FORMS = dict.fromkeys((0xFE0E, 0xFE0F))
"""Marks that ask for a character as text or as a picture."""


@dataclass(frozen=True, slots=True)
class _Text:
    parts: list[str]
    """Its characters."""
    caseless: tuple[str, ...]
    """The same as they are compared."""
    joins: tuple[bool, ...]
    """Whether a character belongs to a word that ends where it is next to another such."""
    free: tuple[bool, ...]
    """Whether it is of a script whose words stand side by side without blanks."""


def caseless(text: str) -> str:
    """What is equal for texts that match each other."""
    return "".join(_read(text).caseless)


def holds(text: str, word: str, *, whole: bool = True) -> bool:
    """Whether a text holds a word, as a whole or perhaps as a part of another one."""
    return any(True for _ in _places(_read(text), _read(word), whole=whole))


def replace_words(text: str, targets: Mapping[str, str]) -> str:
    """Replace words at once, so that swaps work; of several at one place the longest is taken.

    A word matches where no other word goes on at its ends. In scripts without blanks between words
    it matches anywhere.

    Args:
        text: Any text.
        targets: Words, none empty, and what takes their place.
    """
    found = _read(text)
    words = sorted(targets, key=lambda word: len(_read(word).parts))
    starts = {at: word for word in words for at in _places(found, _read(word))}
    written: list[str] = []
    at = 0
    while at < len(found.parts):
        word = starts.get(at)
        written.append(found.parts[at] if word is None else targets[word])
        at += 1 if word is None else len(_read(word).parts)
    return "".join(written)


def _places(text: _Text, word: _Text, *, whole: bool = True) -> Iterator[int]:
    """Where a word begins in a text, counted in characters."""
    size, begin = len(word.parts), 0
    for _ in range(text.caseless.count(word.caseless[0])):
        begin = text.caseless.index(word.caseless[0], begin) + 1
        first, end = begin - 1, begin - 1 + size
        if text.caseless[first:end] == word.caseless and not (
            whole and (_goes_on(text, first, first - 1) or _goes_on(text, end - 1, end))
        ):
            yield first


def _goes_on(text: _Text, inside: int, outside: int) -> bool:
    """Whether a word goes on from a character at its end to the one beyond."""
    known = 0 <= outside < len(text.parts)
    return known and text.joins[outside] and not text.free[inside]


@functools.lru_cache(1024)  # the edits of a video share its caption, and those of all their words
def _read(text: str) -> _Text:
    parts: list[str] = _CHARACTER.findall(text)
    same, joins, free = zip(*map(_properties, parts), strict=True) if parts else ((), (), ())
    return _Text(parts, same, joins, free)


@functools.lru_cache(1 << 16)
def _properties(character: str) -> tuple[str, bool, bool]:
    folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", character).casefold())
    # Of İ, i, I and ı it does not matter which, in Turkish or else.
    same = folded.translate(_FORMS).replace("i\u0307", "i").replace("ı", "i")
    free = bool(_WITHOUT_BLANKS.match(character))
    return same, bool(_OF_WORDS.match(character)) and not free, free
