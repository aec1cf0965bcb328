"""A study in its database: first answers count, tokens are known to those who have them alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from components.errors import UserError
from components.study.database import ANSWERS, STUDY
from components.study.record import Record, vote_lines
from eval.study.assignment import showings
from eval.study.votes import Choice, Kind
from tests.unit.components.study.conftest import Study

LEFT = {"consistency": Choice.LEFT, "text": Choice.LEFT}
RIGHT = {"consistency": Choice.RIGHT, "text": Choice.RIGHT}
NOON = datetime(2026, 11, 29, 13, tzinfo=timezone(timedelta(hours=1)))


def reopened(record: Record) -> Record:
    return Record.open(str(record.engine.url))


def test_it_is_there_when_it_is_opened_again(make: Callable[..., Study]) -> None:
    record, tokens, _ = make(seed=3)
    again = reopened(record)
    assert (again.design, again.name) == (record.design, record.name)
    assert again.sequences.page(1, 0) == record.sequences.page(1, 0)
    assert {again.rater_of(token) for token in tokens.values()} == set(range(5))
    assert again.rater_of("x") is again.rater_of("") is again.rater_of("\udcff\x00") is None


def test_no_token_is_in_the_database(make: Callable[..., Study], tmp_path: Path) -> None:
    record, tokens, _ = make()
    tokens |= record.invite([2])
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("study.sqlite*"))
    assert not any(token.encode() in kept for token in tokens.values())
    assert all(len(token) == 43 for token in tokens.values()), "256 bits"
    assert len(set(tokens.values())) == 5


def test_the_second_to_make_a_study_is_given_the_first_ones(make: Callable[..., Study]) -> None:
    record, _, _ = make(seed=3)
    again, tokens = Record.make(record.engine, replace(record.design, ties=True))
    assert (again.name, again.design, tokens) == (record.name, record.design, {})


def test_a_new_invitation_voids_the_former_one_and_keeps_answers(
    make: Callable[..., Study],
) -> None:
    record, tokens, _ = make()
    record.answer(1, 0, LEFT, NOON)
    (new,) = record.invite([1]).values()
    assert record.rater_of(tokens[1]) is None
    assert record.rater_of(new) == 1
    assert record.rater_of(tokens[0]) == 0
    assert record.place(1) == 1
    with pytest.raises(UserError, match="no rater r5: there are r0 to r4"):
        record.invite([0, 5])
    assert record.rater_of(tokens[0]) == 0


def test_first_answers_count_and_places_follow_each_other(make: Callable[..., Study]) -> None:
    record, _, _ = make()
    assert record.place(0) == 0
    assert record.answer(0, 0, LEFT, NOON)
    assert not record.answer(0, 0, RIGHT, NOON)
    assert record.answered(0) == {0: {"consistency": "left", "text": "left"}}
    assert record.answer(0, 2, RIGHT, NOON)
    assert record.place(0) == 1, "the first that is not answered"
    assert record.answer(0, 1, RIGHT, NOON)
    assert record.place(0) == 3
    assert record.place(1) == 0


def test_of_many_at_once_one_is_kept_whole(make: Callable[..., Study]) -> None:
    record, _, _ = make()
    for place in range(5):
        with ThreadPoolExecutor(8) as pool:
            kept = list(
                pool.map(
                    lambda n, at=place: record.answer(0, at, (LEFT, RIGHT)[n % 2], NOON), range(16)
                )
            )
        assert sum(kept) == 1
        assert len(set(record.answered(0)[place].values())) == 1


def test_votes_are_of_what_was_shown(make: Callable[..., Study]) -> None:
    record, _, _ = make(seed=5)
    for place in range(len(record.sequences.of(2))):
        record.answer(2, place, LEFT | {"text": Choice.RIGHT}, NOON + timedelta(minutes=place))
    votes = {(one.time, one.question): one for one in reopened(record).votes()}
    shown = showings(record.design.plan, 2)
    assert len(votes) == 2 * len(shown)
    assert {showing.kind for showing in shown} == set(Kind)
    for place, showing in enumerate(shown):
        for question, choice in (("consistency", Choice.LEFT), ("text", Choice.RIGHT)):
            vote = votes[NOON + timedelta(minutes=place), question]
            assert (vote.rater, vote.pair, vote.kind) == ("r2", showing.pair, showing.kind)
            assert vote.choice is choice
            assert vote.time.tzinfo is UTC


def test_votes_as_lines(make: Callable[..., Study]) -> None:
    record, _, _ = make()
    record.answer(3, 0, LEFT, NOON)
    row, _ = map(json.loads, vote_lines(record.votes()).splitlines())
    assert row["time"] == "2026-11-29T12:00:00+00:00"
    assert (row["rater"], row["question"], row["choice"]) == ("r3", "consistency", "left")
    assert row["chosen"] == row["left"] == record.sequences.of(3)[0].pair.left


@pytest.mark.parametrize(
    "changes", [{"rater": 9}, {"place": 99}, {"choice": "both"}, {"answered_at": "noon"}]
)
def test_an_answer_that_the_study_cannot_have_is_told(
    make: Callable[..., Study], changes: dict[str, Any]
) -> None:
    record, _, _ = make()
    record.answer(0, 0, LEFT, NOON)
    with record.engine.begin() as connection:
        connection.execute(update(ANSWERS).values(**changes))
    with pytest.raises(UserError, match="holds an answer that its study cannot have"):
        record.votes()


def test_no_study_and_another_releases_are_refused(
    make: Callable[..., Study], tmp_path: Path
) -> None:
    record, _, _ = make()
    (tmp_path / "empty.sqlite").touch()
    with pytest.raises(UserError, match=r"empty\.sqlite holds no study"):
        Record.open(f"sqlite:///{tmp_path / 'empty.sqlite'}")
    with record.engine.begin() as connection:
        connection.execute(update(STUDY).values(version=9))
    with pytest.raises(UserError, match="a study of version 9, but this release reads 1"):
        reopened(record)
