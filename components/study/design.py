"""What a study shows: frozen when it is made, whatever becomes of the run."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from components.errors import UserError
from eval.study.assignment import Plan
from eval.study.votes import LOVEU, PAPER, Choice, Question

if TYPE_CHECKING:
    import pydantic

QUESTIONS: Mapping[str, tuple[Question, ...]] = {
    "paper": PAPER,
    "loveu": LOVEU,
    "both": (*PAPER, *LOVEU),
}
"""By the name that `tav study serve --questions` takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyClip:
    """An mp4 of the run."""

    path: str
    """In the run's store."""
    sha256: str
    speed: float = 1.0
    """How fast it plays to keep the pace of its source: edits may have another rate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyEdit:
    """One edit, and the clips that variants made of it."""

    video: str
    edit: str
    """Its id within the run."""
    prompt: str
    source_prompt: str
    source: StudyClip | None
    """None where neither a check nor a question needs it."""
    clips: Mapping[str, StudyClip]
    """By variant."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Design:
    """A study."""

    pairs: tuple[tuple[str, str], ...]
    """Of variants, as they were asked for: in a table the first of two is the one that is
    preferred or not."""
    questions: str
    """A key of ``QUESTIONS``."""
    ties: bool
    plan: Plan
    edits: tuple[StudyEdit, ...]

    @property
    def asked(self) -> tuple[Question, ...]:
        """What raters are asked of each pair."""
        return QUESTIONS[self.questions]

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What they may answer."""
        return tuple(one for one in Choice if self.ties or one is not Choice.TIE)

    @property
    def order(self) -> list[str]:
        """The variants as they were named."""
        return list(dict.fromkeys(name for pair in self.pairs for name in pair))

    def to_json(self) -> str:
        """As it is kept in the database."""
        return _adapter().dump_json(self).decode()

    @staticmethod
    def from_json(text: str) -> Design:
        """The reverse.

        Raises:
            UserError: it was kept by another release, or changed.
        """
        import pydantic

        from eval.errors import EvalError

        try:
            return _adapter().validate_json(text)
        except (pydantic.ValidationError, EvalError) as error:
            raise UserError(
                "the database's study cannot be read: another release made it, or it was changed; "
                "use that release, or make the study anew with another --database"
            ) from error


@functools.cache
def _adapter() -> pydantic.TypeAdapter[Design]:
    import pydantic

    return pydantic.TypeAdapter(Design)


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a user asks of a study; none is the default, or what the study has."""

    pairs: tuple[tuple[str, str], ...] | None = None
    questions: str | None = None
    ties: bool | None = None
    raters_per_pair: int | None = None
    pairs_per_rater: int | None = None
    repeated: float | None = None
    checks: int | None = None
    seed: int | None = None

    def of_plan(self) -> dict[str, Any]:
        """What of it is the plan's."""
        names = ("raters_per_pair", "pairs_per_rater", "repeated", "checks", "seed")
        given = {name: getattr(self, name) for name in names}
        return {name: value for name, value in given.items() if value is not None}


def check_same(design: Design, asked: Asked, where: str) -> None:
    """Refuse to change a study that is there.

    Args:
        design: Of the study.
        asked: By the user; what is none is not compared.
        where: The database, as it may be shown.

    Raises:
        UserError: something is another; each is named.
    """
    differences = []
    for field in fields(asked):
        wanted = getattr(asked, field.name)
        owner = design if hasattr(design, field.name) else design.plan
        has = getattr(owner, field.name)
        if wanted is not None and wanted != has:
            shown = [
                " ".join(map(",".join, one)) if field.name == "pairs" else one
                for one in (has, wanted)
            ]
            differences.append(f"{field.name} is {shown[0]}, not {shown[1]}")
    if differences:
        raise UserError(
            f"{where} holds a study whose {'; '.join(differences)}: a study is frozen when it is "
            "made; leave these options away, or make another study with another --database"
        )
