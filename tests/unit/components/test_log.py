"""Records as text and as JSON lines."""

from __future__ import annotations

import datetime as dt
import json
import logging
from functools import partial

import pytest

from components.config import RunConfig, parse
from components.log import VideoLog, is_verbose, setup_logging, setup_worker_logging

LOGGER = logging.getLogger("components.a_test")


def config(log_format: str) -> RunConfig:
    document = {"run": "/r", "manifest": "m", "model": {"base": "b"}, "log_format": log_format}
    return parse(RunConfig, document, "test")


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.rstrip("\n")


def test_text_begins_with_the_item(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging(config=config("text"))
    VideoLog(LOGGER, step="sample", video_id="v", edit_id="v/e").info("%d %% done", 7)
    assert last_line(capsys)[9:] == "INFO step=sample video=v edit=v/e 7 % done"
    VideoLog(LOGGER, step="tune").warning("late")
    assert last_line(capsys)[9:] == "WARNING step=tune late"
    LOGGER.info("plain")
    assert last_line(capsys)[9:] == "INFO plain"


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging(config=config("json"))
    VideoLog(LOGGER, step="tune", video_id='a "b"').info("two\nlines, %s", "ä")
    document = json.loads(last_line(capsys))
    at = dt.datetime.fromisoformat(document.pop("time"))
    assert abs(dt.datetime.now(dt.UTC) - at) < dt.timedelta(minutes=1)
    assert document == {
        "level": "info",
        "run": "/r",
        "step": "tune",
        "video": 'a "b"',
        "message": "two\nlines, ä",
    }


def test_json_holds_exceptions(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging(config=config("json"))
    try:
        int("broken\nin two")
    except ValueError:
        LOGGER.exception("no luck")
    document = json.loads(last_line(capsys))
    assert document["level"] == "error"
    assert document["exception"].endswith("base 10: 'broken\\nin two'")


def test_details_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    for verbose in (False, True):
        setup_logging(verbose=verbose)
        assert is_verbose() == verbose
        for setup in (setup_logging, partial(setup_worker_logging, config("text"))):
            setup(verbose=verbose)
            LOGGER.debug("a detail")
            assert last_line(capsys).endswith("DEBUG a detail") == verbose
