"""Votes made by hand for the tests of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import TypeVar

from hypothesis import strategies as st

from eval.study.votes import NOISE, SOURCE, Choice, Kind, Pair, Vote

_Item = TypeVar("_Item")

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
CHOICES = {"L": Choice.LEFT, "R": Choice.RIGHT, "=": Choice.TIE}
FULL_LEFT = Pair(video="v0", edit="v0/e0", left="full", right="pnp")


def vote(
    rater: str,
    choice: str,
    *,
    pair: Pair = FULL_LEFT,
    question: str = "consistency",
    minute: int = 0,
    kind: Kind = Kind.FIRST,
) -> Vote:
    """``choice``: L, R or =."""
    return Vote(
        rater=rater,
        pair=pair,
        question=question,
        choice=CHOICES[choice],
        time=NOON + timedelta(minutes=minute),
        kind=kind,
    )


def pair(edit: str, left: str = "full", right: str = "pnp") -> Pair:
    """Of an edit such as ``v0/e1``."""
    return Pair(video=edit.split("/", maxsplit=1)[0], edit=edit, left=left, right=right)


def of_edits(
    table: dict[str, str],
    question: str = "consistency",
    left: str = "full",
    right: str = "pnp",
) -> list[Vote]:
    """By edit one letter for each rater, such as ``{"v0/e0": "LLR=L"}``; a dot is no vote."""
    return [
        vote(f"r{place}", letter, pair=pair(edit, left, right), question=question)
        for edit, letters in table.items()
        for place, letter in enumerate(letters)
        if letter != "."
    ]


def check(rater: str, chosen: str, edit: str = "v0/e0", question: str = "text") -> Vote:
    """``chosen``: source, noise or =."""
    letter = {"source": "L", "noise": "R", "=": "="}[chosen]
    shown = pair(edit, SOURCE, NOISE)
    return vote(rater, letter, pair=shown, question=question, kind=Kind.CHECK)


def mirrored(one: Vote) -> Vote:
    """The same answer where the clips had stood the other way round."""
    return replace(one, pair=one.pair.swapped, choice=one.choice.swapped)


def ballots(variants: Sequence[str] = ("full", "pnp")) -> st.SearchStrategy[list[Vote]]:
    """Any votes: repeats, second answers and checks among them."""
    return st.lists(st.integers(0, 2**20), max_size=25).map(
        lambda codes: [_decoded(code, variants) for code in codes]
    )


def _decoded(code: int, variants: Sequence[str]) -> Vote:
    """One number is quicker to draw than a vote's seven parts."""

    def one_of(items: Sequence[_Item]) -> _Item:
        nonlocal code
        code, place = divmod(code, len(items))
        return items[place]

    kind = one_of(list(Kind))
    left, right = one_of(list(permutations((SOURCE, NOISE) if kind is Kind.CHECK else variants, 2)))
    return vote(
        one_of(["r0", "r1", "r2", "r3"]),
        one_of("LR="),
        pair=pair(one_of(["v0/e0", "v1/e0", "v2/e0", "v2/e1"]), left, right),
        question=one_of(["consistency", "text"]),
        minute=one_of(range(4)),
        kind=kind,
    )
