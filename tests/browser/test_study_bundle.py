"""A study's static files, from a bucket and from a disk, in a real headless Chromium."""

from __future__ import annotations

import functools
import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.study.bundle import write_bundle
from components.study.importing import import_answers
from components.study.outcome import count
from tests.browser.study_page import (
    RATE,
    READY,
    STILL,
    answer,
    check_table,
    ended,
    opened,
    place,
)
from tests.study_run import BOTH, HOSTILE, made

Open = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("few_resamples")


@contextmanager
def bucket(folder: Path) -> Iterator[str]:
    """Static files over HTTP, as a bucket gives them."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def saved(page: Any, target: Path) -> Path:
    with page.expect_download() as download:
        page.click("#save")
    assert re.fullmatch(r"answers-[0-9a-f]{8}\.jsonl", download.value.suggested_filename)
    download.value.save_as(target)
    return target


def test_a_bundles_answers_give_the_table_by_hand(
    contexts: Open, study_uri: str, tmp_path: Path
) -> None:
    record, _, files = made(study_uri, tmp_path, replace(BOTH, raters_per_pair=3))
    pages = write_bundle(record, files, tmp_path / "out")
    answered = []
    with bucket(tmp_path / "out") as base:
        for rater, path in pages.items():
            page, trouble = opened(contexts(**STILL), f"{base}/{path}")
            if rater == 1:
                page.click("label >> nth=0")
                page.reload()
                page.wait_for_selector(READY)
            page.evaluate(RATE, [rater, rater == 0])
            ended(page)
            page.reload()
            ended(page)
            assert trouble == []
            answered.append(saved(page, tmp_path / f"{rater}.jsonl"))
    assert import_answers(record, answered).left_out == ()
    check_table(count(record, record.votes()), 4, 3)


def test_a_bundle_opens_from_a_disk(contexts: Open, study_uri: str, tmp_path: Path) -> None:
    record, _, files = made(study_uri, tmp_path)
    pages = write_bundle(record, files, tmp_path / "out")
    context = contexts()
    page, trouble = opened(context, (tmp_path / "out" / pages[0]).as_uri())
    answer(page)
    other, _ = opened(context, page.url)
    assert place(other) == 2, "kept in this browser"
    answer(other, "22")
    answer(page, "11")
    assert place(page) == 3, "answered in the other tab, which counts"
    found = import_answers(record, [saved(page, tmp_path / "answers.jsonl")])
    assert (found.places, found.left_out) == (2, ())
    assert record.answered(0)[1] == {"consistency": "right", "text": "right"}
    assert trouble == []
    assert json.dumps(HOSTILE) not in page.content()
