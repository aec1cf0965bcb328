"""What a page may send: answers to all questions of one place, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from components.errors import UserError
from components.study.design import Design
from eval.study.votes import Choice

_TOLD = 40
"""Characters of a value that messages repeat."""


class AnswerError(UserError):
    """What was sent is no answer; the message says why, and repeats nothing that is secret."""


def parse_object(text: bytes) -> dict[str, Any]:
    """Read one JSON object of hostile origin.

    Raises:
        AnswerError: it is not UTF-8, no JSON, no object, or names a key twice.
    """
    try:
        found = json.loads(
            text.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_refuse
        )
    except UnicodeDecodeError as error:
        raise AnswerError("it is not UTF-8") from error
    except AnswerError:
        raise
    except (ValueError, RecursionError) as error:
        raise AnswerError("it is no JSON") from error
    if not isinstance(found, dict):
        raise AnswerError("it is no JSON object")
    return found


def check_keys(document: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    """Refuse an object that has other keys than these.

    Raises:
        AnswerError: the first few of them are named.
    """
    if missing := [key for key in keys if key not in document]:
        raise AnswerError(f"it lacks {', '.join(missing)}")
    if unknown := sorted(document.keys() - set(keys)):
        raise AnswerError(
            f"it holds {', '.join(told(key) for key in unknown[:3])}: "
            f"only {', '.join(keys)} may be there"
        )


def checked_place(value: object, places: int) -> int:
    """A place of a rater's sequence, from 0.

    Raises:
        AnswerError: it is no whole number, or the sequence has no such place.
    """
    if type(value) is not int or not 0 <= value < places:
        raise AnswerError(
            f"place is {told(value)}, but must be a whole number from 0 to {places - 1}"
        )
    return value


def checked_choice(design: Design, question: object, value: object) -> Choice:
    """An answer to one question.

    Raises:
        AnswerError: the study asks no such question, or offers no such answer.
    """
    asked = [one.id for one in design.asked]
    if question not in asked:
        raise AnswerError(f"question is {told(question)}, but must be one of {', '.join(asked)}")
    for choice in design.choices:
        if isinstance(value, str) and value == choice.value:
            return choice
    raise AnswerError(
        f"the answer to {question} is {told(value)}, but must be one of {', '.join(design.choices)}"
    )


def checked_answers(design: Design, value: object) -> dict[str, Choice]:
    """Answers to every question of the study, by question.

    Raises:
        AnswerError: one is missing, unknown or no choice.
    """
    if not isinstance(value, dict):
        raise AnswerError("answers must be an object of questions and choices")
    check_keys(value, tuple(one.id for one in design.asked))
    return {name: checked_choice(design, name, choice) for name, choice in value.items()}


def told(value: object) -> str:
    """The beginning of a value of hostile origin, in one line."""
    text = ascii(value)
    return text if len(text) <= _TOLD else f"{text[:_TOLD]}…"


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise AnswerError("it names a key twice")
    return found


def _refuse(_: str) -> NoReturn:
    raise AnswerError("it is no JSON")
