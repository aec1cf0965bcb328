"""A study through its real server, or from its static files, in a real headless Chromium."""

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

from benchmarks.study_server import serving
from components.study.bundle import write_bundle
from components.study.importing import import_answers
from components.study.outcome import Outcome, count
from components.study.record import Record
from tests.browser.conftest import ARGUMENTS
from tests.study_run import BOTH, HOSTILE, made, study_run

PAIRS = ("--pairs", "full,pnp")
READY = "fieldset:not(:disabled)"

RATE = """([rater, impatient]) => {
    const pixel = (side) => {
        const canvas = new OffscreenCanvas(8, 8);
        const context = canvas.getContext("2d");
        context.drawImage(document.querySelector(`[data-side=${side}] video`), 0, 0, 8, 8);
        return context.getImageData(4, 5, 1, 1).data;
    };
    const step = () => {
        const text = document.querySelector("#prompt").textContent;
        if (document.querySelectorAll("fieldset:not(:disabled)").length && window.rated !== page) {
            window.rated = page;
            const [red, green, blue] = pixel("left");
            const number = Number(text.split(" ")[1]);
            const full = rater < number % 6;
            const left = text.startsWith("source") ? green > red + 50 && green > blue + 50
                : full === red > blue;
            for (const box of document.querySelectorAll("fieldset")) {
                box.querySelectorAll("label")[left ? 0 : 1].click();
            }
            const next = document.querySelector("#next");
            next.click();
            if (impatient) next.click();
        }
        if (document.querySelector("#word").hidden) setTimeout(step, 20);
    };
    step();
}"""
"""Answer every page by what its clips show: red is the first variant, green the source. Of edit n
the first n % 6 raters prefer the first variant."""

Open = Callable[..., Any]
STILL = {"reduced_motion": "reduce", "viewport": {"width": 640, "height": 480}}
"""Of raters beside whom others are to be quick too: their clips wait to be played."""


@pytest.fixture(scope="module")
def program(chromium: str) -> Iterator[Any]:
    """One browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def contexts(program: Any) -> Iterator[Open]:
    """Open contexts of the browser: people at computers of their own."""
    found = []

    def one(**options: Any) -> Any:
        found.append(program.new_context(**options))
        return found[-1]

    yield one
    for context in found:
        context.close()


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval.study.resampling.RESAMPLES", 100)


def opened(context: Any, address: str) -> tuple[Any, list[str]]:
    """A page whose questions can be answered, and what it complains of."""
    page, trouble = context.new_page(), []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("dialog", lambda dialog: trouble.append(dialog.message))
    page.goto(address)
    page.wait_for_selector(f"{READY}, #word:not([hidden])")
    return page, trouble


def place(page: Any) -> int:
    return int(page.inner_text("#progress span").split()[0])


def answer(page: Any, keys: str = "11") -> None:
    """Answer a page with the keyboard alone, and wait for the next one."""
    page.wait_for_selector(READY)
    before = page.inner_text("#progress span")
    for key in keys:
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.wait_for_function(
        """before => document.querySelector("#progress span").textContent !== before
            || !document.querySelector("#word").hidden""",
        arg=before,
    )


def ended(page: Any) -> None:
    page.wait_for_selector("#word:not([hidden])", timeout=120_000)
    assert page.inner_text("#word h2") == "Thank you!"


def kept(folder: Path) -> Record:
    return Record.open(f"sqlite:///{folder / 'study.sqlite'}")


def check_table(found: Outcome, edits: int, raters: int) -> None:
    """The table by hand: of edit n the first n % 6 of an odd number of raters prefer the first."""
    likes = [min(number % 6, raters) for number in range(edits)]
    won = sum(like > raters / 2 for like in likes)
    assert (found.finished, found.attention.failed, found.attention.unchecked) == (raters, (), ())
    assert [one.question for one in found.preferences] == ["consistency", "text"]
    for one in found.preferences:
        assert (one.first, one.second, one.edits) == ("full", "pnp", edits)
        assert (one.won, one.drawn, one.lost) == (won, 0, edits - won)
        assert (one.votes, one.fewest, one.raters) == (raters * edits, raters, raters)
        assert one.percent.mean == pytest.approx(100 * won / edits)
    ranked = {(one.question, one.variant): (one.wins, one.losses, one.ties) for one in found.ranks}
    for question in ("consistency", "text"):
        assert ranked[question, "full"] == (sum(likes), raters * edits - sum(likes), 0)
    unlike = sum(2 * like * (raters - like) / (raters - 1) for like in likes)
    votes, first = raters * edits, sum(likes)
    alpha = 1 - unlike * (votes - 1) / (2 * first * (votes - first))
    for agreed in found.agreements:
        assert agreed.alpha is not None
        assert agreed.alpha.mean == pytest.approx(alpha)
    for steady in found.self_agreements:
        assert steady.same == steady.repeats == raters * -(-edits // 10)


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
