"""The report's text and tables in a real headless Chromium, opened from the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.results.report import collect, write_report
from components.storage.local import LocalStore
from components.storage.tables import read_table
from tests.browser.page import cards, column, opened, playing
from tests.finished_run import drawn_clip, write_edit, write_failure, write_run, write_score

HOSTILE = (
    "<script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked = 1">',
    "</script><script>window.hacked = 1</script>",
    "{{7*7}} ${7*7} javascript:window.hacked=1",
    "' autofocus onfocus='window.hacked = 1",
    "<video src=x onerror='window.hacked = 1'></video>",
)


@pytest.mark.parametrize("browser", [{"java_script_enabled": False}], indirect=True)
def test_without_javascript_videos_have_controls_and_all_is_shown(
    browser: Any, address: str
) -> None:
    page = opened(browser, address).page
    assert page.locator(".card video[controls]").count() == 12
    assert page.locator("#rows tbody tr").count() == 6
    assert not page.locator("#tools").is_visible()


@pytest.mark.parametrize("width", [1280, 1024, 800, 600, 390])
def test_tiles_fill_their_frame(browser: Any, address: str, width: int) -> None:
    page = opened(browser, address).page
    page.set_viewport_size({"width": width, "height": 900})
    frame, *tiles = page.evaluate(
        """() => [".tiles", ".tiles div"].flatMap((one) => [...document.querySelectorAll(one)])
        .map((one) => one.getBoundingClientRect()).map((at) => [at.left, at.top, at.right])"""
    )
    ends: dict[float, float] = {}
    for _, top, right in tiles:
        ends[round(top)] = max(ends.get(round(top), 0), right)
    assert len(tiles) > 4
    assert all(abs(right - (frame[2] - 1)) < 1 for right in ends.values()), ends  # 1 px of border


def test_headers_sort_numbers_and_text_by_mouse_and_keyboard(browser: Any, address: str) -> None:
    found = opened(browser, address)
    page = found.page
    before = column(page, 4)
    header = page.locator("#rows th", has_text="Consistency")
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert column(page, 4) == sorted(before, key=float, reverse=True)
    assert cards(page)[0] == "car/cartoon"
    header.locator("button").focus()
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "ascending"
    assert column(page, 4) == sorted(before, key=float)
    assert cards(page) == column(page, 1)
    edit = page.locator("#rows th", has_text="Edit")
    edit.locator("button").focus()
    page.keyboard.press("Space")
    assert edit.get_attribute("aria-sort") == "ascending"
    assert header.get_attribute("aria-sort") == "none"
    assert column(page, 1) == sorted(column(page, 1))
    assert found.trouble == []


def test_missing_numbers_are_last_in_both_orders(browser: Any, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "run")
    write_run(store)
    write_edit(store, "car", "a-unscored", "a boat", drawn_clip(0.9))
    page = opened(browser, Path(write_report(store, collect(store))).as_uri()).page
    for _ in range(2):
        page.locator("#rows th button", has_text="Alignment").click()
        assert column(page, 5)[-1] == "–"


def test_filters_narrow_cards_rows_and_dots(browser: Any, address: str) -> None:
    found = opened(browser, address)
    page = found.page
    page.fill("#search", "CARTOON rabbit")
    assert cards(page) == column(page, 1) == ["rabbit/cartoon"]
    assert page.locator(".plot a:not(.faded)").count() == 1
    assert page.inner_text("#shown") == "1 of 6"
    page.fill("#search", "")
    page.click(".chip[data-category=object]")
    assert cards(page) == ["rabbit/swap", "surfer/swap"]
    assert page.locator(".chip[data-category=object]").get_attribute("aria-pressed") == "true"
    page.fill("#search", "nothing like this")
    assert cards(page) == []
    page.click("#reset")
    assert len(cards(page)) == 6
    # The source prompt is searched too.
    page.fill("#search", "watermelon")
    assert cards(page) == ["rabbit/cartoon", "rabbit/swap"]
    assert found.trouble == []


def test_a_link_to_a_card_that_is_filtered_out_shows_it(browser: Any, address: str) -> None:
    page = opened(browser, address).page
    page.fill("#search", "rabbit")
    page.evaluate("location.hash = '#edit-0'")
    page.wait_for_function("() => !document.querySelector('#edit-0').hidden")
    assert len(cards(page)) == 6


def test_hostile_text_is_shown_and_never_runs(browser: Any, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "run")
    write_run(store)
    for number, text in enumerate(HOSTILE):
        edit = write_edit(
            store,
            "car",
            f"x{number}",
            text,
            drawn_clip(0.5),
            source_prompt=text[::-1],
            category=text,
            edit_id=text,
            device=text,
            base_model=text,
        )
        write_score(store, edit, 80.0 + number, 20.0 + number, protocol=text, score_model=text)
        write_failure(store, "score", text, text, traceback=text, error_type=text, edit_id=text)
    data = collect(store, failures=read_table(store, "failures"))
    found = opened(browser, Path(write_report(store, data)).as_uri())
    page = found.page
    page.locator(".card:first-child").scroll_into_view_if_needed()
    playing(page, ".card:first-child video")
    for text in HOSTILE:
        assert page.locator(".after", has_text=text).count() >= 1
        page.fill("#search", text)
        assert len(cards(page)) >= 1
    page.fill("#search", "")
    for button in page.locator("#rows th button").all():
        button.click()
    for chip in page.locator(".chip").all():
        chip.click()
    page.locator(".chip").first.click()
    page.locator(".card .compare").first.click()
    page.keyboard.press("Escape")
    for dot in page.locator(".plot a").all()[:6]:
        dot.dispatch_event("click")  # a real one would race the smooth scrolling
    assert page.evaluate("window.hacked") is None
    assert "49" not in page.inner_text(".card:first-child .after")
    assert page.locator("img, iframe, object, embed, link").count() == 0
    assert page.locator("script").count() == 1
    assert found.trouble == []
    assert all(request.startswith("file:") for request in found.requests)


def test_the_policy_stops_a_script_that_got_past_the_escaping(browser: Any, address: str) -> None:
    found = opened(browser, address)
    found.page.evaluate(
        """() => {
            const script = document.createElement('script');
            script.textContent = 'window.hacked = 1';
            document.body.append(script);
            const image = document.createElement('img');
            image.setAttribute('onerror', 'window.hacked = 1');
            image.src = 'https://example.org/leak.png';
            document.body.append(image);
        }"""
    )
    found.page.wait_for_timeout(300)
    assert found.page.evaluate("window.hacked") is None
    assert sum("Content Security Policy" in line for line in found.trouble) >= 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1440])
def test_every_width_and_scheme_fits(
    browser: Any, address: str, tmp_path: Path, scheme: str, width: int
) -> None:
    page = opened(browser, address).page
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    playing(page, ".card:first-child video")
    page.screenshot(path=tmp_path / f"{scheme}-{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 17, 20)"
    assert dark == (scheme == "dark")
    page.click("#theme")
    after = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 17, 20)"
    assert after != dark
