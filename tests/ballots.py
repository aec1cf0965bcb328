"""Votes made by hand for the tests of a study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from eval.study.votes import NOISE, SOURCE, Choice, Kind, Pair, Vote

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


@st.composite
def ballots(draw: st.DrawFn, variants: Sequence[str] = ("full", "pnp")) -> list[Vote]:
    """Any votes: repeats, second answers and checks among them."""
    return list(_ballots(draw, variants))


def _ballots(draw: st.DrawFn, variants: Sequence[str]) -> Iterator[Vote]:
    for _ in range(draw(st.integers(0, 25))):
        kind = draw(st.sampled_from(Kind))
        sides = (SOURCE, NOISE) if kind is Kind.CHECK else variants
        left, right = draw(st.permutations(sides))[:2]
        yield vote(
            f"r{draw(st.integers(0, 3))}",
            draw(st.sampled_from("LR=")),
            pair=pair(f"v{draw(st.integers(0, 2))}/e{draw(st.integers(0, 1))}", left, right),
            question=draw(st.sampled_from(["consistency", "text"])),
            minute=draw(st.integers(0, 3)),
            kind=kind,
        )
