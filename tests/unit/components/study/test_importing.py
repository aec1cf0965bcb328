"""Files of answers are hostile: good pages are kept, bad lines told, again is nothing new."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.errors import UserError
from components.study import importing
from components.study.importing import Imported, import_answers
from components.study.record import Record
from tests.unit.components.study.conftest import Study


@pytest.fixture
def record(make: Callable[..., Study]) -> Record:
    return make()[0]


def row(record: Record, place: Any = 0, **changes: Any) -> dict[str, Any]:
    usual = {"question": "text", "choice": "left", "time": "2026-11-29T12:00:00.123Z"}
    return {
        "study": record.name,
        "rater": record.sequences.folder(1),
        "place": place,
        **usual,
        **changes,
    }


def page(record: Record, place: int, choice: str = "left", **changes: Any) -> list[dict[str, Any]]:
    return [
        row(record, place, question=question, choice=choice, **changes)
        for question in ("consistency", "text")
    ]


def read(record: Record, path: Path, *lines: Any) -> Imported:
    path = path / "answers.jsonl"
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    path.write_bytes(b"".join(text + b"\n" for text in texts))
    return import_answers(record, [path])


def test_answers_are_kept_once(record: Record, tmp_path: Path) -> None:
    lines = [*page(record, 0), *page(record, 1, "right")]
    assert read(record, tmp_path, *lines) == Imported(places=2, known=0, left_out=())
    assert record.answered(1) == {
        0: dict.fromkeys(("consistency", "text"), "left"),
        1: dict.fromkeys(("consistency", "text"), "right"),
    }
    assert record.votes()[0].time.isoformat() == "2026-11-29T12:00:00.123000+00:00"
    again = read(record, tmp_path, *lines, *lines)
    assert again == Imported(places=0, known=2, left_out=())


def test_what_windows_makes_of_it_is_read(record: Record, tmp_path: Path) -> None:
    text = "\r\n".join(map(json.dumps, page(record, 0)))
    found = read(record, tmp_path, b"\xef\xbb\xbf" + text.encode() + b"\r\n\r\n")
    assert found == Imported(places=1, known=0, left_out=())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"study": "other"}, "it is of study 'other', but the database's is '"),
        ({"rater": "0" * 43}, "its rater is none of the study's"),
        ({"rater": ["x"]}, "its rater is none"),
        ({"rater": "r1"}, "its rater is none"),
        ({"place": 99}, "place is 99, but must be a whole number from 0 to"),
        ({"place": "0"}, "place is '0', but must be"),
        (
            {"question": "loveu_text"},
            "question is 'loveu_text', but must be one of consistency, ",
        ),
        ({"question": {"text": 1}}, "question is {'text': 1}, but must be one of"),
        ({"choice": "tie"}, "the answer to text is 'tie', but must be one of left, right"),
        ({"choice": 1}, "is 1, but must be one of left, right"),
        ({"time": "yesterday"}, "time is 'yesterday', but must be ISO 8601"),
        ({"time": 3}, "time is 3, but must be ISO 8601"),
        ({"time": "2026-11-29T12:00:00"}, "which has no zone"),
        ({"time": "1999-11-29T12:00:00Z"}, "must lie between 2020 and now"),
        ({"time": "9999-12-31T23:59:59-23:59"}, "must lie between 2020 and now"),
        ({"more": 1}, "it holds 'more'"),
    ],
)
def test_a_bad_line_is_told_and_the_rest_goes_on(
    record: Record, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    found = read(record, tmp_path, *page(record, 0), row(record, 1) | changes, *page(record, 2))
    assert found.places == 2
    (line,) = found.left_out[:1]
    assert line.startswith("answers.jsonl, line 3: ")
    assert told in line


@pytest.mark.parametrize(
    "line", [b"{", b"[1]", b"\xff", b"[" * 900, b'{"a": ' + b"1" * 2000 + b"}", b"\x00", b'""']
)
def test_what_is_no_line_is_told_and_the_rest_goes_on(
    record: Record, tmp_path: Path, line: bytes
) -> None:
    found = read(record, tmp_path, line, *page(record, 0))
    assert found.places == 1
    (told,) = found.left_out
    assert told.startswith("answers.jsonl, line 1: it is ")


def test_half_a_page_is_no_page(record: Record, tmp_path: Path) -> None:
    found = read(record, tmp_path, *page(record, 0), row(record, 1))
    assert found.places == 1
    assert found.left_out == (
        "answers.jsonl, line 3: place 1 of r1 lacks an answer to consistency",
    )


def test_first_answers_count_within_a_file_and_before_it(record: Record, tmp_path: Path) -> None:
    found = read(record, tmp_path, *page(record, 0), row(record, 0, choice="right"))
    assert found.places == 1
    assert "line 3: it answers a question otherwise than a line before" in found.left_out[0]
    found = read(record, tmp_path, *page(record, 0, "right"), *page(record, 1))
    assert (found.places, found.known) == (1, 0)
    assert found.left_out == (
        "answers.jsonl, line 1: place 0 of r1 was answered otherwise before, which counts",
    )
    assert set(record.answered(1)[0].values()) == {"left"}


def test_many_raters_and_files(record: Record, tmp_path: Path) -> None:
    paths = []
    for rater in range(5):
        lines = page(record, 0, rater=record.sequences.folder(rater))
        paths.append(tmp_path / f"{rater}.jsonl")
        paths[-1].write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert import_answers(record, paths).places == 5
    assert {vote.rater for vote in record.votes()} == {f"r{n}" for n in range(5)}


def test_what_is_no_file_of_answers_is_refused(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        import_answers(record, [tmp_path / "none.jsonl"])
    with pytest.raises(UserError, match="cannot be read"):
        import_answers(record, [tmp_path])
    os.mkfifo(tmp_path / "pipe")
    assert import_answers(record, [tmp_path / "pipe"]).places == 0
    monkeypatch.setattr(importing, "MAX_LINES", 3)
    with pytest.raises(UserError, match="more than 3 lines"):
        read(record, tmp_path, *page(record, 0), *page(record, 1))
