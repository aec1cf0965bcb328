"""Pairs, questions and votes of a study, and which of several votes counts."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Self

from eval.errors import EvalError

SOURCE = "@source"
"""In a check's pair: the clip that was to be edited. No variant's name holds an ``@``."""

NOISE = "@noise"
"""In a check's pair: a clip of the source's size and length whose every pixel is drawn anew in each
frame. (One drawn frame, held, would be perfectly consistent.)"""


class Choice(StrEnum):
    """What a rater answered."""

    LEFT = "left"
    RIGHT = "right"
    TIE = "tie"

    @property
    def swapped(self) -> Choice:
        """The same answer where the clips have changed sides."""
        return {Choice.LEFT: Choice.RIGHT, Choice.RIGHT: Choice.LEFT}.get(self, self)


class Kind(StrEnum):
    """Why a pair is shown."""

    FIRST = "first"
    """To be counted."""
    REPEAT = "repeat"
    """Shown before on the other sides: says how far a rater agrees with themselves."""
    CHECK = "check"
    """The source against noise: says whether a rater looks."""


class Unit(NamedTuple):
    """What votes are about: two variants' clips of one edit, whatever their sides."""

    video: str
    edit: str
    """Its id within the run."""
    one: str
    other: str
    """Variants in alphabetical order."""

    @property
    def variants(self) -> tuple[str, str]:
        """Both, in alphabetical order."""
        return self.one, self.other


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two variants' clips of one edit, as they stand on the page.

    Raises:
        EvalError: both sides show one variant.
    """

    video: str
    edit: str
    left: str
    right: str

    def __post_init__(self) -> None:
        if self.left == self.right:
            raise EvalError(
                f"a pair of edit {self.edit!r} of video {self.video!r} shows {self.left!r} on both "
                "sides: name two variants"
            )

    @property
    def swapped(self) -> Self:
        """The same clips on the other sides."""
        return type(self)(video=self.video, edit=self.edit, left=self.right, right=self.left)

    @property
    def unit(self) -> Unit:
        """What it is whatever its sides."""
        return Unit(self.video, self.edit, *sorted((self.left, self.right)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What raters are asked of a pair."""

    id: str
    text: str
    """In our words: neither paper prints a questionnaire that could be quoted in full."""
    shows_source: bool = False
    """Whether it can be answered only beside the source clip."""


PAPER = (
    Question(id="consistency", text="Which video has the better temporal consistency?"),
    Question(id="text", text="Which video matches the text better?"),
)
"""The two of arXiv 2212.11565, section 5.2: consistency of frames, and the edited prompt."""

LOVEU = (
    Question(id="loveu_text", text="Which video matches the caption better?"),
    Question(
        id="loveu_structure",
        text="Which video keeps the structure of the input video better?",
        shows_source=True,
    ),
    Question(id="loveu_quality", text="Which video looks better?"),
)
"""The three of LOVEU-TGVE-2023: text, structure and quality."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Vote:
    """One answer of one rater.

    Raises:
        EvalError: the time has no zone, or the pair is a check's and the kind is not, or the
            other way round.
    """

    rater: str
    pair: Pair
    """As it was shown."""
    question: str
    """Its id."""
    choice: Choice
    time: datetime
    """When it was answered, with its zone."""
    kind: Kind = Kind.FIRST

    def __post_init__(self) -> None:
        if self.time.tzinfo is None:
            raise EvalError(
                f"the vote of {self.rater!r} is of {self.time.isoformat()}, which has no zone: "
                "give its time in UTC"
            )
        shown = {self.pair.left, self.pair.right}
        if (shown == {SOURCE, NOISE}) != (self.kind is Kind.CHECK) or (
            self.kind is not Kind.CHECK and shown & {SOURCE, NOISE}
        ):
            raise EvalError(
                f"a vote of {self.rater!r} on {' and '.join(sorted(shown))} is of kind "
                f"{self.kind.value!r}: {SOURCE} and {NOISE} together are a check, and nothing else "
                "is one"
            )

    @property
    def chosen(self) -> str | None:
        """The variant whose clip was chosen; none for a tie."""
        if self.choice is Choice.TIE:
            return None
        return self.pair.left if self.choice is Choice.LEFT else self.pair.right


def answers(votes: Iterable[Vote], kind: Kind, leave_out: Collection[str] = ()) -> list[Vote]:
    """Votes of one kind, one for each rater, unit and question.

    The earliest counts, so that an answer given again changes nothing.

    Args:
        votes: In any order.
        kind: What to keep.
        leave_out: Raters whose votes are dropped.

    Returns:
        By rater, unit and question.
    """
    found: dict[tuple[str, Unit, str], Vote] = {}
    for vote in sorted(votes, key=lambda vote: (vote.time, vote.chosen or "")):
        if vote.kind is kind and vote.rater not in leave_out:
            found.setdefault((vote.rater, vote.pair.unit, vote.question), vote)
    return [vote for _, vote in sorted(found.items())]
