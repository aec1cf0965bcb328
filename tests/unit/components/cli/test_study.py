"""`tav study` from a run to a table: bundled, answered, imported, counted; and what is refused."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from components.cli.main import main
from components.study.record import Record
from eval.study.assignment import Showing
from eval.study.votes import SOURCE, Kind
from tests.study_run import VARIANTS

NOON = "2026-11-29T12:00:00Z"


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval.study.resampling.RESAMPLES", 100)


def tav(*words: str) -> Result:
    return CliRunner().invoke(main, ["study", *words])


def database(folder: Path) -> tuple[str, str]:
    return "--database", f"sqlite:///{folder / 'study.sqlite'}"


def answers(record: Record, rater: int, wanted: str) -> list[dict[str, Any]]:
    """What a careful rater who prefers one variant saves."""
    same = {"study": record.name, "rater": record.sequences.folder(rater), "time": NOON}
    return [
        same | {"place": place, "question": question.id, "choice": _side(showing, wanted)}
        for place, showing in enumerate(record.sequences.of(rater))
        for question in record.design.asked
    ]


def _side(showing: Showing, wanted: str) -> str:
    right = SOURCE if showing.kind is Kind.CHECK else wanted
    return "left" if showing.pair.left == right else "right"


def test_bundled_answered_imported_counted(study_uri: str, tmp_path: Path) -> None:
    words = ("--pairs", ",".join(VARIANTS), *database(tmp_path))
    done = tav("bundle", study_uri, *words, "--to", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    pages = re.findall(r"^r(\d): ([0-9a-f]{43}/index\.html)$", done.output, re.MULTILINE)
    assert [number for number, _ in pages] == list("01234")
    assert all((tmp_path / "out" / page).is_file() for _, page in pages)

    record = Record.open(words[-1])
    lines = [row for n in range(5) for row in answers(record, n, "full" if n < 3 else "pnp")]
    file = tmp_path / "answers.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in lines), encoding="utf-8")
    places = sum(len(record.sequences.of(n)) for n in range(5))
    done = tav("import", str(file), *database(tmp_path))
    assert (done.exit_code, done.output) == (
        0,
        f"{places} page(s) of answers kept, 0 known before\n",
    )
    with file.open("a", encoding="utf-8") as handle:
        handle.write("no line\n")
    done = tav("import", str(file), *database(tmp_path))
    assert (done.exit_code, done.stdout) == (
        3,
        f"0 page(s) of answers kept, {places} known before\n",
    )
    number = len(lines) + 1
    assert done.stderr == f"Left out: answers.jsonl, line {number}: it is no JSON\n"

    to = ("--to", str(tmp_path / "out.json"), "--votes", str(tmp_path / "votes.jsonl"))
    done = tav("export", study_uri, *database(tmp_path), *to)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert (found["finished"], found["left_out"], found["unchecked"]) == (5, [], [])
    for one in found["preferences"]:
        assert (one["first"], one["second"]) == VARIANTS
        assert (one["won"], one["drawn"], one["lost"], one["votes"]) == (4, 0, 0, 20)
    assert "correlations" not in found["reasons"], "4 edits have votes and scores"
    assert len((tmp_path / "votes.jsonl").read_text().splitlines()) == len(lines)
    done = tav("export", *database(tmp_path))
    assert "| consistency | full | pnp | 100.00 [100.00, 100.00] | 4/0/0 |" in done.output
    assert "## Measures" not in done.output


def test_a_study_is_frozen_and_may_be_named_by_its_database_alone(
    study_uri: str, tmp_path: Path
) -> None:
    to = ("--to", str(tmp_path / "a"))
    done = tav("bundle", study_uri, *database(tmp_path), *to)
    assert done.exit_code == 1
    assert "give --pairs ONE,OTHER" in done.output
    assert tav("bundle", study_uri, *database(tmp_path), *to, "--pairs", "full,pnp").exit_code == 0
    other = ("--to", str(tmp_path / "b"))
    done = tav("bundle", study_uri, *database(tmp_path), *other, "--ties", "--seed", "9")
    assert done.exit_code == 1
    assert "holds a study whose ties is False, not True; seed is 0, not 9" in done.output
    assert not (tmp_path / "b").exists()
    done = tav("serve", study_uri, *database(tmp_path), "--port", "0", "--pairs", "pnp,full")
    assert done.exit_code == 1
    assert "pairs is full,pnp, not pnp,full" in done.output
    assert tav("bundle", study_uri, *database(tmp_path), *other).exit_code == 0


def test_new_invitations(study_uri: str, tmp_path: Path) -> None:
    words = ("--pairs", "full,pnp", "--to", str(tmp_path / "a"))
    tav("bundle", study_uri, *database(tmp_path), *words)
    address = ("--address", "https://study.example/")
    done = tav("invite", "r3", "1", "r3", *database(tmp_path), *address)
    found = re.findall(r"^r(\d): https://study\.example/enter/(\S{43})$", done.output, re.MULTILINE)
    assert [number for number, _ in found] == ["3", "1"]
    record = Record.open(database(tmp_path)[1])
    assert [record.rater_of(token) for _, token in found] == [3, 1]
    assert "no rater r7" in tav("invite", "r7", *database(tmp_path), *address).output
    assert "'rr' is no rater's name" in tav("invite", "rr", *database(tmp_path), *address).output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("export",), "is not there"),
        (("export", "--to", "a.xlsx"), "its suffix is '.xlsx'"),
        (("export", "--votes", "a.csv"), "its suffix must be .jsonl"),
        (("import", "a.jsonl"), "is not there"),
        (("serve", "RUN", "--pairs", "full"), "not of the form ONE,OTHER"),
        (("serve", "RUN", "--pairs", "full,pnp,x"), "not of the form ONE,OTHER"),
        (("serve", "RUN", "--pairs", "ful,pnp", "--port", "0"), "did you mean 'full'"),
        (("serve", "RUN", "--host", "203.0.113.1"), "cannot listen at 203.0.113.1:8765"),
        (("serve", "RUN", "--port", "99999"), "cannot listen at 127.0.0.1:99999"),
        (("bundle", "RUN", "--to", "s3://bucket/x"), "must be on this machine"),
    ],
)
def test_what_cannot_be_is_refused(
    study_uri: str, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    words = tuple(study_uri if word == "RUN" else word for word in words)
    done = tav(*words, *database(tmp_path))
    assert done.exit_code in {1, 2}
    assert told in done.output


def test_a_port_that_is_taken_is_told(study_uri: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = tav("serve", study_uri, *database(tmp_path), "--port", port)
    assert done.exit_code == 1
    assert "Address already in use" in done.output


def test_no_password_is_shown(study_uri: str) -> None:
    for address in ("postgresql+nodriver://me:s3cret@h/x", "postgres://me:s3cret@h:s3cret/x"):
        done = tav("export", "--database", address)
        assert done.exit_code == 1
        assert "s3cret" not in done.output
