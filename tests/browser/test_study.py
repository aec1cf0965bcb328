"""A study through its real server, in a real headless Chromium."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.study_server import serving
from components.study.outcome import count
from components.study.record import Record
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
from tests.study_run import HOSTILE, study_run

PAIRS = ("--pairs", "full,pnp")
Open = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("few_resamples")


def kept(folder: Path) -> Record:
    return Record.open(f"sqlite:///{folder / 'study.sqlite'}")


@pytest.mark.soak
def test_five_raters_of_twenty_pairs_at_once_give_the_table_by_hand(
    contexts: Open, tmp_path: Path
) -> None:
    """One double-clicks, one reloads, one goes away and back, one has two tabs."""
    uri = study_run(tmp_path / "run", 5, 4, frames=4)
    with serving(uri, tmp_path, *PAIRS) as server:
        people = [contexts(), *(contexts(**STILL) for _ in range(4))]
        pages = [
            opened(one, address)[0] for one, address in zip(people, server.invitations, strict=True)
        ]
        second, _ = opened(people[3], server.base)
        for rater, page in enumerate(pages):
            page.evaluate(RATE, [rater, rater == 0])
        second.evaluate(RATE, [3, True])
        far = "() => parseInt(document.querySelector('#progress span').textContent) > 5"
        pages[1].wait_for_function(far, timeout=60_000)
        pages[1].reload()
        pages[1].wait_for_selector(READY)
        assert place(pages[1]) > 5, "it goes on where it was"
        pages[1].evaluate(RATE, [1, False])
        pages[2].wait_for_function(far, timeout=60_000)
        pages[2].goto("about:blank")
        pages[2].go_back()
        pages[2].wait_for_selector(READY)
        pages[2].evaluate(RATE, [2, False])
        for page in (*pages, second):
            ended(page)
        pages[4].reload()
        ended(pages[4])
    record = kept(tmp_path)
    votes = record.votes()
    assert len(votes) == 2 * 5 * (20 + 2 + 2)
    check_table(count(record, votes), 20, 5)


def test_clips_share_a_clock_and_wait_for_the_reader_who_wants_no_motion(
    contexts: Open, tmp_path: Path
) -> None:
    uri = study_run(tmp_path / "run", 1, 2, frames=12)
    with serving(uri, tmp_path, *PAIRS, "--questions", "loveu", "--checks", "0") as server:
        page, trouble = opened(contexts(), server.invitations[0])
        at = "() => [...document.querySelectorAll('video')].map((one) => one.currentTime)"
        page.wait_for_function("() => document.querySelector('video').currentTime > 0.7")
        page.wait_for_function("() => document.querySelector('video').currentTime < 0.5")
        page.wait_for_function("() => document.querySelector('video').currentTime > 0.3")
        times = page.evaluate(at)
        assert len(times) == 3
        assert max(times) - min(times) < 0.15, "after another pass"
        page.keyboard.press("Space")
        assert page.inner_text("#play span") == "Play"
        assert page.evaluate("[...document.querySelectorAll('video')].every((one) => one.paused)")
        assert trouble == []
        still, _ = opened(contexts(reduced_motion="reduce"), server.invitations[1])
        still.wait_for_timeout(500)
        assert still.evaluate(at) == [0, 0, 0]
        still.click("#play")
        still.wait_for_function("() => document.querySelector('video').currentTime > 0.1")


def test_by_keyboard_at_390_pixels_with_a_hostile_prompt(
    contexts: Open, study_uri: str, tmp_path: Path
) -> None:
    with serving(study_uri, tmp_path, *PAIRS, "--ties") as server:
        context = contexts(viewport={"width": 390, "height": 844})
        page, trouble = opened(context, server.invitations[0])
        assert page.url == f"{server.base}/", "no token in the address"
        seen = []
        for _ in range(7):
            seen.append(page.text_content("#prompt"))
            assert page.evaluate("document.documentElement.scrollWidth") == 390
            tops = page.evaluate(
                """() => [...document.querySelectorAll("#stage figure:not([hidden])")]
                    .map((one) => one.getBoundingClientRect().top)"""
            )
            assert len(tops) == 2
            assert tops[0] < tops[1], "one above the other"
            assert page.is_disabled("#next")
            page.keyboard.press("Enter")
            assert place(page) == len(seen), "not without all answers"
            page.keyboard.press("1")
            page.keyboard.press("Backspace")
            answer(page, "23")
        ended(page)
        assert HOSTILE in seen
        assert page.title() == "Which video?"
        assert page.locator("img, #pair script").count() == 0
        assert trouble == []
    answered = kept(tmp_path).answered(0)
    assert len(answered) == 7
    assert all(one == {"consistency": "right", "text": "tie"} for one in answered.values())


def test_what_cannot_be_loaded_or_kept_is_told_and_goes_on_later(
    contexts: Open, study_uri: str, tmp_path: Path
) -> None:
    with serving(study_uri, tmp_path, *PAIRS) as server:
        page, _ = opened(contexts(), server.invitations[0])
        stranger, _ = opened(contexts(), f"{server.base}/")
        assert stranger.inner_text("#word h2") == "No invitation"
        page.route("**/clip/**", lambda route: route.abort())
        page.reload()
        page.wait_for_selector("#trouble:not([hidden])")
        assert "cannot be loaded" in page.inner_text("#trouble")
        assert page.locator("fieldset:disabled").count() == 2
        for key in ("1", "1", "Enter"):
            page.keyboard.press(key)
        assert place(page) == 1
        page.unroute("**/clip/**")
        page.click("#again")
        page.wait_for_selector(READY)
        assert page.is_hidden("#trouble")
        answer(page)
        page.wait_for_selector(READY)
        server.kill()
        for key in ("2", "2", "Enter"):
            page.keyboard.press(key)
        page.wait_for_selector("#trouble:not([hidden])")
        assert "cannot be reached" in page.inner_text("#trouble")
        assert place(page) == 2
        port = server.port
    with serving(study_uri, tmp_path, *PAIRS, port=port):
        page.click("#again")
        page.wait_for_function(
            "() => document.querySelector('#progress span').textContent.startsWith('3')"
        )
    left, right = (dict.fromkeys(("consistency", "text"), side) for side in ("left", "right"))
    assert kept(tmp_path).answered(0) == {0: left, 1: right}
