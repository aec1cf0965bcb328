"""A page that is open in a browser: what it did, and what it shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Opened:
    """A page and what it did that a quiet page does not do."""

    page: Any
    trouble: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


def opened(browser: Any, address: str) -> Opened:
    found = Opened(browser.new_page())
    found.page.on("console", lambda message: found.trouble.append(f"console: {message.text}"))
    found.page.on("pageerror", lambda error: found.trouble.append(f"error: {error}"))
    found.page.on("dialog", lambda dialog: found.trouble.append(f"dialog: {dialog.message}"))
    found.page.on("requestfailed", lambda one: _note_failed(found, one))
    found.page.on("request", lambda one: found.requests.append(one.url))
    found.page.goto(address)
    return found


def _note_failed(found: Opened, request: Any) -> None:
    # The page itself cancels a clip's loading when it gives the player of a pair out of sight back.
    if (request.resource_type, request.failure) != ("media", "net::ERR_ABORTED"):
        found.trouble.append(f"failed: {request.url}: {request.failure}")


def playing(page: Any, selector: str) -> None:
    """Wait until every video of the selection has its data and its time goes on.

    Conditions are functions: an expression would be evaluated, which the page's policy forbids.
    """
    page.wait_for_function(
        """selector => {
            const videos = [...document.querySelectorAll(selector)];
            return videos.length && videos.every(
                (one) => one.readyState >= 3 && one.currentTime > 0.1 && !one.paused && one.muted);
        }""",
        arg=selector,
        timeout=20_000,
        polling=50,
    )


def times(page: Any, selector: str) -> list[float]:
    found: list[float] = page.evaluate(
        "selector => [...document.querySelectorAll(selector)].map((one) => one.currentTime)",
        selector,
    )
    return found


def column(page: Any, number: int) -> list[str]:
    found: list[str] = page.evaluate(
        """number => [...document.querySelectorAll('#rows tbody tr')]
            .filter((line) => !line.hidden).map((line) => line.cells[number].textContent.trim())""",
        number,
    )
    return found


def choices(page: Any) -> list[str]:
    """The variants that the chooser says are shown."""
    found: list[str] = page.evaluate(
        """[...document.querySelectorAll('#chooser [data-choose]')]
            .filter((chip) => chip.getAttribute('aria-pressed') === 'true')
            .map((chip) => chip.textContent)"""
    )
    return found


def shown(page: Any, selector: str) -> list[str]:
    """The text of what is not hidden of a selection."""
    found: list[str] = page.evaluate(
        """selector => [...document.querySelectorAll(selector)]
            .filter((one) => !one.closest('[hidden]')).map((one) => one.textContent.trim())""",
        selector,
    )
    return found


def cards(page: Any) -> list[str]:
    found: list[str] = page.evaluate(
        """[...document.querySelectorAll('.card')].filter((card) => !card.hidden)
            .map((card) => card.getAttribute('aria-label'))"""
    )
    return found
