"""Which words an edit changed."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

MAX_WORDS = 400
"""A longer prompt is shown unmarked: comparing words takes time that grows with their product."""


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a prompt."""

    text: str
    changed: bool


def compare_prompts(source: str, edited: str) -> tuple[list[Span], list[Span]]:
    """Split both prompts into spans that are common to both and spans that are not.

    Words are compared without regard to case. Joined again, each list's texts are the prompt.
    """
    before, after = _pieces(source), _pieces(edited)
    if max(len(before), len(after)) > 2 * MAX_WORDS:
        return [Span(source, changed=False)], [Span(edited, changed=False)]
    matcher = difflib.SequenceMatcher(
        a=[piece.casefold() for piece in before],
        b=[piece.casefold() for piece in after],
        autojunk=False,
    )
    left: list[Span] = []
    right: list[Span] = []
    for kind, a0, a1, b0, b1 in matcher.get_opcodes():
        _append(left, "".join(before[a0:a1]), changed=kind != "equal")
        _append(right, "".join(after[b0:b1]), changed=kind != "equal")
    return left, right


def _pieces(prompt: str) -> list[str]:
    """Words, spaces and single marks, in order; none is lost."""
    return re.findall(r"\w+|\s+|[^\w\s]", prompt)


def _append(spans: list[Span], text: str, *, changed: bool) -> None:
    if not text:
        return
    # The marks go round words, not round the spaces beside them.
    core = text.strip() if changed else text
    start = text.find(core) if core else 0
    for part, mark in (
        (text[:start], False),
        (core, changed),
        (text[start + len(core) :] if core else text, False),
    ):
        if part:
            spans.append(Span(part, mark))
