"""What a simulated rater does on a study's page, and the table that follows from it by hand."""

from __future__ import annotations

from typing import Any

import pytest

from components.study.outcome import Outcome

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

STILL = {"reduced_motion": "reduce", "viewport": {"width": 640, "height": 480}}
"""Of raters beside whom others are to be quick too: their clips wait to be played."""


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
