"""Answers that raters of a bundle saved and sent: files of anybody, read as such."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from components.errors import UserError
from components.study.answers import (
    AnswerError,
    check_keys,
    checked_choice,
    checked_place,
    parse_object,
    told,
)
from components.study.record import Record, rater_name
from eval.study.votes import Choice

MAX_LINE = 1024
"""Bytes; an answer has some 200."""
MAX_LINES = 1_000_000
_KEYS = ("study", "rater", "place", "question", "choice", "time")
_OLDEST = datetime(2020, 1, 1, tzinfo=UTC)
_AHEAD = timedelta(days=1)
"""How far a rater's clock may go ahead of this one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """What files brought."""

    places: int
    """Whose answers are kept now."""
    known: int
    """That were answered equally before."""
    left_out: tuple[str, ...]
    """A line each: file, line, and why."""


@dataclass
class _Place:
    """What one file says of one place of one rater."""

    line: int
    """The first of it."""
    choices: dict[str, Choice] = field(default_factory=dict)
    at: datetime = _OLDEST


@dataclass(frozen=True, slots=True)
class _Line:
    rater: int
    place: int
    question: str
    choice: Choice
    at: datetime


def import_answers(record: Record, paths: list[Path]) -> Imported:
    """Keep the answers of files. Whoever imports a file again changes nothing.

    A place is kept whole or not at all, and first answers count, wherever they came from.

    Args:
        record: The study.
        paths: Of files that raters saved; each line is hostile, and a bad one costs itself.

    Raises:
        UserError: a file cannot be read.
    """
    raters = {record.sequences.folder(one): one for one in range(record.design.plan.raters)}
    total = Imported(places=0, known=0, left_out=())
    for path in paths:
        found = _import(record, raters, path)
        total = Imported(
            places=total.places + found.places,
            known=total.known + found.known,
            left_out=(*total.left_out, *found.left_out),
        )
    return total


def _import(record: Record, raters: dict[str, int], path: Path) -> Imported:
    left_out: list[tuple[int, str]] = []
    found: dict[tuple[int, int], _Place] = {}
    for number, text in _lines(path):
        try:
            _add(found, number, _line(record, raters, text))
        except AnswerError as error:
            left_out.append((number, str(error)))
    kept = known = 0
    asked = [one.id for one in record.design.asked]
    for (rater, place), one in sorted(found.items()):
        whose = f"place {place} of {rater_name(rater)}"
        if missing := [name for name in asked if name not in one.choices]:
            left_out.append((one.line, f"{whose} lacks an answer to {', '.join(missing)}"))
        elif record.answer(rater, place, one.choices, one.at):
            kept += 1
        elif record.answered(rater)[place] == one.choices:
            known += 1
        else:
            left_out.append((one.line, f"{whose} was answered otherwise before, which counts"))
    lines = tuple(f"{path.name}, line {number}: {why}" for number, why in sorted(left_out))
    return Imported(places=kept, known=known, left_out=lines)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers, from 1; of one that is too long its beginning alone.

    Raises:
        UserError: the file cannot be read, or has too many.
    """
    try:
        # Without waiting, should it be a pipe.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as handle:
            for number in range(1, MAX_LINES + 2):
                line = handle.readline(MAX_LINE + 1)
                if not line:
                    return
                if number > MAX_LINES:
                    raise UserError(
                        f"{path} has more than {MAX_LINES} lines: it is no file of answers"
                    )
                rest = line
                while len(rest) > MAX_LINE and not rest.endswith(b"\n"):
                    rest = handle.readline(MAX_LINE + 1)
                text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if text.strip():
                    yield number, text
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error


def _line(record: Record, raters: dict[str, int], text: bytes) -> _Line:
    if len(text) > MAX_LINE:
        raise AnswerError(f"it is longer than {MAX_LINE} bytes")
    row = parse_object(text)
    check_keys(row, _KEYS)
    if row["study"] != record.name:
        raise AnswerError(
            f"it is of study {told(row['study'])}, but the database's is {record.name!r}"
        )
    rater = raters.get(row["rater"]) if isinstance(row["rater"], str) else None
    if rater is None:
        raise AnswerError("its rater is none of the study's")
    return _Line(
        rater=rater,
        place=checked_place(row["place"], len(record.sequences.of(rater))),
        question=row["question"] if isinstance(row["question"], str) else "",
        choice=checked_choice(record.design, row["question"], row["choice"]),
        at=_time(row["time"]),
    )


def _time(value: Any) -> datetime:
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise AnswerError(
            f"time is {told(value)}, but must be ISO 8601, such as 2026-11-29T12:00:00Z"
        ) from error
    if found.tzinfo is None:
        raise AnswerError(f"time is {told(value)}, which has no zone: it must end in Z or +00:00")
    if not _OLDEST <= found <= datetime.now(UTC) + _AHEAD:
        raise AnswerError(f"time is {found.isoformat()}, but must lie between 2020 and now")
    return found


def _add(found: dict[tuple[int, int], _Place], number: int, line: _Line) -> None:
    """Put a line to its place; of two answers to one question the first counts."""
    place = found.setdefault((line.rater, line.place), _Place(number))
    former = place.choices.setdefault(line.question, line.choice)
    place.at = max(place.at, line.at)
    if former is not line.choice:
        raise AnswerError("it answers a question otherwise than a line before, which counts")
