"""What an edit of tinyworld's clips should change and what it should keep, from both prompts."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eval.errors import EvalError
from tinyworld.matching import matched
from tinyworld.scenes import ATTRIBUTES, OF_A_THING, OF_THE_FRAME, Attribute, Words, read_caption

if TYPE_CHECKING:
    from tinyworld.reader import Reading

Place = tuple[int, Attribute]
"""A thing's number and one of its attributes; `FRAME` for the background and the style."""
FRAME = -1
Thing = tuple[str | None, str | None]


@dataclass(frozen=True, slots=True)
class Task:
    """An edit and its source, read, with their things in one order."""

    edit: Reading
    """(F, K) of K things."""
    source: Reading
    """(F, K)."""
    asked: dict[Place, str]
    """Words that the edit should bring."""
    expected: dict[Place, str]
    """Words that should stay: what neither prompt says is what most frames of the source show."""


def task(edit: Reading, source: Reading, source_prompt: str, prompt: str) -> Task:
    """Pair both prompts' things with each other and with what is read of both clips.

    Args:
        edit: what its F frames show.
        source: what the source clip's F frames show.
        source_prompt: what the source clip was said to show.
        prompt: the edited prompt. Its things are those of the source prompt from which they differ
            in the fewest words, in whatever order it names them; where it names none, they stay.

    Raises:
        EvalError: a prompt names nothing of the tiny world, or both name things and not equally
            many.
    """
    before, after = _named(source_prompt, "source"), _named(prompt, "edited")
    olds, news = _paired(before, after)
    source = matched(source, [_either(old, new) for old, new in zip(olds, news, strict=True)])
    asked: dict[Place, str] = {}
    expected: dict[Place, str] = {}
    said = {
        (k, name): (old[j], new[j])
        for k, (old, new) in enumerate(zip(olds, news, strict=True))
        for j, name in enumerate(OF_A_THING)
    }
    said |= {(FRAME, name): (getattr(before, name), getattr(after, name)) for name in OF_THE_FRAME}
    for place, (old_word, new_word) in said.items():
        if new_word == old_word:
            expected[place] = new_word or _usual(read_words(source, place))
        elif new_word is not None:
            asked[place] = new_word
    wanted = expected | asked
    things = [
        (wanted.get((k, OF_A_THING[0])), wanted.get((k, OF_A_THING[1]))) for k in range(len(olds))
    ]
    return Task(matched(edit, things, near=source.centers), source, asked, expected)


def read_words(reading: Reading, place: Place) -> npt.NDArray[np.str_]:
    """The words read in each frame, (F,)."""
    index, name = place
    words: npt.NDArray[np.str_] = getattr(reading, name)
    return words if index == FRAME else words[:, index]


def _paired(before: Words, after: Words) -> tuple[list[Thing], list[Thing]]:
    olds, news = list(before.things), list(after.things)
    if olds and news and len(olds) != len(news):
        raise EvalError(
            f"the source prompt names {len(olds)} of the tiny world's things and the edited prompt "
            f"{len(news)}, so nothing says which became what: name equally many"
        )
    if not olds and not news:
        return [(None, None)], [(None, None)]
    if not news:
        return olds, olds
    if not olds:
        return [(None, None)] * len(news), news
    ways = [list(way) for way in itertools.permutations(news)]
    return olds, min(ways, key=lambda way: _changes(olds, way))


def _changes(olds: list[Thing], news: list[Thing]) -> int:
    return sum(
        a != b for old, new in zip(olds, news, strict=True) for a, b in zip(old, new, strict=True)
    )


def _either(old: Thing, new: Thing) -> Thing:
    """What the source shows of a thing, as far as prompts say."""
    return old if old != (None, None) else new


def _usual(words: npt.NDArray[np.str_]) -> str:
    return str(Counter(words.tolist()).most_common(1)[0][0])


def _named(prompt: str, kind: str) -> Words:
    found = read_caption(prompt)
    if not found:
        words = "; ".join(f"{name}: {', '.join(words)}" for name, words in ATTRIBUTES.items())
        raise EvalError(
            f"the {kind} prompt {prompt!r} names nothing of the tiny world, so the ground truth "
            f"cannot judge it: use its words ({words}), or leave tinyworld_v2 out of "
            "score.protocols"
        )
    return found
