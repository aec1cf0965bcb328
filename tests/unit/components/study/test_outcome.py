"""A study's numbers in one piece, and as files that nothing in them can break."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from components.errors import UserError
from components.study.outcome import Outcome, outcome
from components.study.outcome_files import document, markdown, write, writer_of
from eval.study.votes import PAPER, Vote
from eval.values import Value
from tests.ballots import check, of_edits, vote


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval.study.resampling.RESAMPLES", 100)


EDITS = {"v0/e0": "LLLRR", "v0/e1": "LRRRR", "v1/e0": "LLLLL", "v2/e0": "RRRRL", "v2/e1": "LLLLR"}
"""By hand: won, lost, won, lost, won."""
SHARES = {"v0/e0": 3, "v0/e1": 1, "v1/e0": 5, "v2/e0": 1, "v2/e1": 4}


def votes() -> list[Vote]:
    """Of five raters, the fourth of whom fails, and a fifth who is not checked."""
    cast = [*of_edits(EDITS, "text"), *of_edits(EDITS, "consistency")]
    return [*cast, *(check(f"r{n}", "noise" if n == 3 else "source") for n in range(4))]


def values() -> list[Value]:
    return [
        Value(edit.split("/")[0], edit, name, "object", "tav_paper_v1", "", "textual_alignment", n)
        for edit, share in SHARES.items()
        for name, n in (("full", float(share)), ("pnp", 0.0))
    ]


def counted(cast: list[Vote], scores: list[Value] | None = None, wrong: int = 0) -> Outcome:
    return outcome(
        cast, PAPER, ["full", "pnp"], raters=6, finished=4, values=scores, allowed_wrong=wrong
    )


def test_who_failed_is_left_out_of_every_number_and_counted() -> None:
    found = counted(votes(), values())
    assert found.attention.failed == ("r3",)
    assert found.attention.unchecked == ("r4",)
    for one in found.preferences:
        assert (one.raters, one.left_out, one.votes) == (4, 1, 20)
        # Without the fourth: LLLR LRRR LLLL RRRL LLLR.
        assert (one.won, one.drawn, one.lost) == (3, 0, 2)
    assert {one.votes for one in found.agreements} == {20}
    assert {one.wins + one.losses for one in found.ranks} == {20}
    assert {one.edits for one in found.correlations} == {5}
    lenient = counted(votes(), wrong=1)
    assert lenient.attention.failed == ()
    assert {one.votes for one in lenient.preferences} == {25}


def test_markdown_has_every_table() -> None:
    text = markdown(counted(votes(), values()))
    assert "5 of 6 raters voted, and 4 answered all." in text
    assert "Left out for a wrong answer to an attention check: 1 (r3)." in text
    assert "Not checked yet, and counted: r4." in text
    line = r"\| consistency \| full \| pnp \| 60\.00 \[50\.00, [0-9.]+\] \| 3/0/2 \| 20 "
    assert re.search(line, text), "the first and the last video have one of two edits"
    for title in ("Preference", "Ranking", "Agreement", "Self-agreement", "Measures"):
        assert f"\n## {title}\n" in text
    assert "None: no repeat is counted." in text
    assert "| Textual alignment ↑ | 5 |" in text
    assert "Measures" not in markdown(counted(votes()))


def test_names_break_no_table() -> None:
    name = "a|b<script>*"
    cast = [
        *(vote("r|0", letter) for letter in "L"),
        *of_edits(EDITS, "te|xt", left=name, right="pnp"),
    ]
    text = markdown(counted(cast))
    assert "<script>" not in text
    assert r"a\|b&lt;script&gt;\*" in text
    widths: dict[int, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("|"):
            widths.setdefault(line.replace(r"\|", "").count("|"), []).append(line)
    assert set(widths) <= {6, 7, 8}


def test_nothing_yet_is_said() -> None:
    text = markdown(counted([]))
    assert "0 of 6 raters voted" in text
    assert "None: no vote is counted." in text
    assert json.loads(json.dumps(document(counted([]))))["preferences"] == []


def test_what_has_no_common_scale_has_a_reason_and_the_rest_is_there() -> None:
    cast = [*of_edits(EDITS, "text"), *of_edits(EDITS, "text", left="a", right="b")]
    found = counted(cast, [])
    assert found.ranks == ()
    assert "no common scale" in markdown(found)
    assert len(found.preferences) == 2
    assert "over 4 edits or more" in found.reasons["correlations"]


def test_json_holds_numbers_in_full() -> None:
    found = json.loads(json.dumps(document(counted(votes(), values())), allow_nan=False))
    assert found["left_out"] == ["r3"]
    first = found["preferences"][0]
    assert (first["question"], first["first"], first["won"]) == ("consistency", "full", 3)
    assert first["percent"]["mean"] == pytest.approx(60)
    assert found["correlations"][0]["measure"] == ["tav_paper_v1", "", "textual_alignment"]
    assert found["correlations"][0]["rho"]["mean"] > 0.9
    assert found["agreements"][0]["variants"] == ["full", "pnp"]


def test_files_by_suffix(tmp_path: Path) -> None:
    found = counted(votes())
    for suffix in (".md", ".json", ".csv"):
        write(found, str(tmp_path / f"out{suffix}"))
    assert (tmp_path / "out.md").read_text() == markdown(found)
    assert json.loads((tmp_path / "out.json").read_text()) == document(found)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert [(row["question"], row["won"], row["percent"]) for row in rows] == [
        ("consistency", "3", "60.0"),
        ("text", "3", "60.0"),
    ]
    with pytest.raises(UserError, match=r"'\.xlsx', but must be one of \.md, \.json, \.csv"):
        writer_of("a.xlsx")
