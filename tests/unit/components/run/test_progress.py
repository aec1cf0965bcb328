"""What is told of a step's progress where there is no terminal."""

from __future__ import annotations

import logging

import pytest
from typing_extensions import override

from components.run.progress import Progress
from components.steps.step import Outcome


class Records(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[logging.LogRecord] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record)


def test_lines_of_success_are_few_and_failures_are_all_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logger, records = logging.getLogger("components.run.progress"), Records()
    monkeypatch.setattr(logger, "handlers", [records])
    monkeypatch.setattr(logger, "isEnabledFor", lambda level: level >= logging.INFO)
    with Progress({"score": 1000}) as progress:
        for number in range(1000):
            error = "EvalError: no frames" if number in (5, 6) else None
            progress.advance("score", Outcome(f"v{number}", None, 0.1, error))
    told = [(vars(record)["video"], record.getMessage()) for record in records.kept]
    assert {vars(record)["step"] for record in records.kept} == {"score"}
    assert ("v0", "1/1000 done in 0.1 s") in told
    assert ("v999", "1000/1000 done in 0.1 s") in told
    assert [one for one in told if "failed" in one[1]] == [
        ("v5", "failed: EvalError: no frames"),
        ("v6", "failed: EvalError: no frames"),
    ]
    assert len(told) < 10


def test_a_long_step_has_few_lines_and_its_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    logger, records = logging.getLogger("components.run.progress"), Records()
    monkeypatch.setattr(logger, "handlers", [records])
    monkeypatch.setattr(logger, "isEnabledFor", lambda level: level >= logging.INFO)
    seconds = iter(range(100_000))
    monkeypatch.setattr("components.run.progress.time.monotonic", lambda: next(seconds))
    with Progress({"tune": 86_000}) as progress:
        for number in range(86_000):
            progress.advance("tune", Outcome(f"v{number}", None, 1.0))
    told = [record.getMessage() for record in records.kept]
    assert 1000 < len(told) < 2000, "of a day in which an item a second is done"
    assert told[-1] == "86000/86000 done in 1.0 s"
