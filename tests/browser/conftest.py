"""A headless Chromium, and a finished run's report copied to where nothing else is."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.results.report import collect, write_report
from components.storage.local import LocalStore
from components.storage.tables import read_table
from tests.finished_run import write_run

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program; tests that ask for it are skipped where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (path := shutil.which(name)) is not None:
            return path
    pytest.skip("no chromium is installed here")


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    store = LocalStore(tmp_path_factory.mktemp("runs") / "demo")
    write_run(store)
    data = collect(store, failures=read_table(store, "failures"))
    # Copied elsewhere, as a reader would get it: nothing but the folder itself is there.
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "report"
    shutil.copytree(Path(write_report(store, data)).parent, elsewhere)
    return (elsewhere / "index.html").as_uri()


@pytest.fixture
def browser(chromium: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    options = getattr(request, "param", {})
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=chromium, headless=True, args=ARGUMENTS, **options
        )
        yield context
        context.close()


@pytest.fixture(scope="module")
def program(chromium: str) -> Iterator[Any]:
    """One browser, for several people's contexts."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def contexts(program: Any) -> Iterator[Callable[..., Any]]:
    """Open contexts of the browser: people at computers of their own."""
    found = []

    def one(**options: Any) -> Any:
        found.append(program.new_context(**options))
        return found[-1]

    yield one
    for context in found:
        context.close()


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval.study.resampling.RESAMPLES", 100)
