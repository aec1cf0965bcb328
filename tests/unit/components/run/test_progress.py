"""What is told of a step's progress where there is no terminal."""

from __future__ import annotations

import logging

import pytest

from components.run.progress import Progress
from components.steps.step import Outcome


def test_lines_of_success_are_few_and_failures_are_all_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("components.run.progress")
    monkeypatch.setattr(logging.getLogger("components"), "propagate", True)
    with caplog.at_level(logging.INFO, logger.name), Progress("score", 1000) as progress:
        for number in range(1000):
            error = "EvalError: no frames" if number in (5, 6) else None
            progress.advance(Outcome(f"v{number}", None, 0.1, error))
    told = [record.getMessage() for record in caplog.records]
    assert "step=score video=v0 1/1000 done in 0.1 s" in told
    assert "step=score video=v999 1000/1000 done in 0.1 s" in told
    assert [text for text in told if "failed" in text] == [
        "step=score video=v5 failed: EvalError: no frames",
        "step=score video=v6 failed: EvalError: no frames",
    ]
    assert len(told) < 10
