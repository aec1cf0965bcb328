"""What a page sends is hostile: an answer to every question of a place, or refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.study.answers import (
    AnswerError,
    check_keys,
    checked_answers,
    checked_place,
    parse_object,
)
from eval.study.votes import Choice
from tests.unit.components.study.test_design import design

WHOLE = dict.fromkeys((one.id for one in design().asked), "left")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff\xfe{}",
        b"[" * 4000,
        b'{"a": NaN}',
        b'{"a": 1e999, "a": 2}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[]",
        b'"x"',
        b"null",
        b'{"a": {"b": 1, "b": 2}}',
    ],
)
def test_what_is_no_plain_object_is_refused(text: bytes) -> None:
    with pytest.raises(AnswerError, match=r"^it (is|names)"):
        parse_object(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(max_examples=25)
@given(st.dictionaries(st.text(), json_values))
def test_an_object_is_read_as_it_is(document: dict[str, Any]) -> None:
    assert parse_object(json.dumps(document).encode()) == document


def test_keys_are_those_that_are_known() -> None:
    check_keys({"a": 1, "b": 2}, ("a", "b"))
    with pytest.raises(AnswerError, match="lacks b"):
        check_keys({"a": 1}, ("a", "b"))
    with pytest.raises(AnswerError, match="holds 'c'"):
        check_keys({"a": 1, "b": 2, "c": 3}, ("a", "b"))


@pytest.mark.parametrize("place", [-1, 3, True, 1.0, "1", None, [], 10**30])
def test_a_place_is_a_whole_number_of_the_sequence(place: Any) -> None:
    assert checked_place(2, 3) == 2
    with pytest.raises(AnswerError, match="whole number from 0 to 2"):
        checked_place(place, 3)


def test_a_long_value_is_told_by_its_beginning() -> None:
    with pytest.raises(AnswerError) as caught:
        checked_place("\n<b>" * 999, 3)
    assert len(str(caught.value)) < 120
    assert "\n" not in str(caught.value)


def test_every_question_is_answered() -> None:
    assert checked_answers(design(), WHOLE) == dict.fromkeys(WHOLE, Choice.LEFT)


@pytest.mark.parametrize(
    "changes",
    [
        {"text": "middle"},
        {"text": 1},
        {"text": ["left"]},
        {"text": None},
        {"text": {"left": 1}},
        {"text": "LEFT"},
        {"other": "left"},
    ],
)
def test_other_answers_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(AnswerError):
        checked_answers(design(), WHOLE | changes)


@pytest.mark.parametrize("answers", [None, [], "left", {}, {"text": "left"}])
def test_what_is_not_all_answers_is_refused(answers: Any) -> None:
    with pytest.raises(AnswerError):
        checked_answers(design(), answers)
