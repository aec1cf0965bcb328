"""The report in a real headless Chromium, opened from the disk as a reader opens it."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from components.results.report import collect, write_report
from components.storage.store import LocalStore
from eval.report import render
from tests.finished_run import AT, drawn_clip, write_edit, write_failure, write_run, write_score

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
HOSTILE = (
    "<script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked = 1">',
    "</script><script>window.hacked = 1</script>",
    "{{7*7}} ${7*7} javascript:window.hacked=1",
    "' autofocus onfocus='window.hacked = 1",
    "<video src=x onerror='window.hacked = 1'></video>",
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed here")


@dataclass
class Opened:
    """A page and what it did that a quiet page does not do."""

    page: Any
    trouble: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    store = LocalStore(tmp_path_factory.mktemp("runs") / "demo")
    write_run(store)
    # Copied elsewhere, as a reader would get it: nothing but the folder itself is there.
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "report"
    shutil.copytree(Path(write_report(store, collect(store))).parent, elsewhere)
    return (elsewhere / "index.html").as_uri()


@pytest.fixture
def browser(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    options = getattr(request, "param", {})
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=CHROMIUM, headless=True, args=ARGUMENTS, **options
        )
        yield context
        context.close()


def opened(browser: Any, address: str) -> Opened:
    found = Opened(browser.new_page())
    found.page.on("console", lambda message: found.trouble.append(f"console: {message.text}"))
    found.page.on("pageerror", lambda error: found.trouble.append(f"error: {error}"))
    found.page.on("dialog", lambda dialog: found.trouble.append(f"dialog: {dialog.message}"))
    found.page.on("requestfailed", lambda one: found.trouble.append(f"failed: {one.url}"))
    found.page.on("request", lambda one: found.requests.append(one.url))
    found.page.goto(address)
    return found


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


def cards(page: Any) -> list[str]:
    found: list[str] = page.evaluate(
        """[...document.querySelectorAll('.card')].filter((card) => !card.hidden)
            .map((card) => card.getAttribute('aria-label'))"""
    )
    return found


def test_pairs_play_together_and_again_without_network(browser: Any, address: str) -> None:
    found = opened(browser, address)
    first = ".card:first-child video"
    playing(found.page, first)
    source, edit = times(found.page, first)
    assert abs(source - edit) < 0.15
    # A clip lasts a second: a second pass begins with both.
    found.page.wait_for_function(
        "selector => document.querySelector(selector).currentTime > 0.8", arg=first, polling=20
    )
    found.page.wait_for_function(
        "selector => document.querySelector(selector).currentTime < 0.5", arg=first, polling=20
    )
    playing(found.page, first)
    source, edit = times(found.page, first)
    assert abs(source - edit) < 0.15
    assert found.trouble == []
    folder = address.rpartition("/")[0]
    assert all(request.startswith(f"{folder}/") for request in found.requests)
    assert any(request.endswith(".mp4") for request in found.requests)


def test_videos_out_of_sight_rest_and_play_when_seen(browser: Any, address: str) -> None:
    found = opened(browser, address)
    found.page.set_viewport_size({"width": 420, "height": 500})
    last = ".card:last-child video"
    found.page.wait_for_function("() => document.querySelector('.card video').readyState > 0")
    assert times(found.page, last) == [0, 0]
    found.page.locator(".card:last-child").scroll_into_view_if_needed()
    playing(found.page, last)
    found.page.wait_for_function(
        "() => [...document.querySelectorAll('.card:first-child video')].every((v) => v.paused)"
    )


def test_hundreds_of_edits_share_few_players(browser: Any, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "run")
    write_run(store)
    folder = Path(write_report(store, collect(store))).parent
    data = collect(store)
    rows = tuple(
        dataclasses.replace(row, edit_id=f"{row.edit_id}-{number}")
        for number in range(100)
        for row in data.rows
    )
    media = {path.stem: f"media/{path.name}" for path in folder.glob("media/*.mp4")}
    text = render(dataclasses.replace(data, rows=rows), media, now=AT)
    (folder / "index.html").write_text(text, encoding="utf-8")
    found = opened(browser, (folder / "index.html").as_uri())
    page = found.page
    players = "[...document.querySelectorAll('video')].filter((one) => one.readyState > 0).length"
    for card in (0, 300, 599, 0):
        page.locator(".card").nth(card).scroll_into_view_if_needed()
        playing(page, f"#edit-{card} video")
        assert page.evaluate(players) < 200
    page.locator("#edit-0 .compare").click()
    page.click("#previous")
    playing(page, "#stage video")
    assert page.inner_text("#compare-title").endswith("-99")
    assert found.trouble == []


def test_the_shorter_clip_waits_for_the_longer(browser: Any, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "run")
    write_run(store)
    write_edit(store, "car", "a-longer", "a slow jeep", drawn_clip(0.9, frames=30))
    page = opened(browser, Path(write_report(store, collect(store))).as_uri()).page
    playing(page, ".card:first-child video")
    page.wait_for_function(
        """() => {
            const [source, edit] = document.querySelectorAll('.card:first-child video');
            return edit.currentTime > 1.5 && source.ended;
        }""",
        polling=20,
    )
    playing(page, ".card:first-child video")


def test_pause_stops_every_video(browser: Any, address: str) -> None:
    page = opened(browser, address).page
    playing(page, ".card:first-child video")
    page.click("#pause")
    assert page.evaluate("[...document.querySelectorAll('video')].every((one) => one.paused)")
    page.click("#pause")
    playing(page, ".card:first-child video")


@pytest.mark.parametrize("browser", [{"reduced_motion": "reduce"}], indirect=True)
def test_reduced_motion_leaves_playing_to_the_reader(browser: Any, address: str) -> None:
    page = opened(browser, address).page
    page.wait_for_timeout(1500)
    assert page.evaluate(
        "[...document.querySelectorAll('video')].every((v) => v.paused && v.controls)"
    )


@pytest.mark.parametrize("browser", [{"java_script_enabled": False}], indirect=True)
def test_without_javascript_videos_have_controls_and_all_is_shown(
    browser: Any, address: str
) -> None:
    page = opened(browser, address).page
    assert page.locator(".card video[controls]").count() == 12
    assert page.locator("#rows tbody tr").count() == 6
    assert not page.locator("#tools").is_visible()


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


def test_the_comparison_plays_wipes_steps_and_closes(browser: Any, address: str) -> None:
    found = opened(browser, address)
    page = found.page
    page.click("#edit-1 .compare")
    playing(page, "#stage video")
    clip = "getComputedStyle(document.querySelectorAll('#stage video')[1]).clipPath"
    assert "50%" in page.evaluate(clip)
    page.locator("#wipe").focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    assert "60%" in page.evaluate(clip)
    assert page.inner_text("#compare-title") == "car/swap"
    page.click("#next")
    assert page.inner_text("#compare-title") == "rabbit/cartoon"
    assert "a rabbit eats a watermelon, cartoon style" in page.inner_text("#compare-prompts")
    page.keyboard.press("Escape")
    assert not page.locator("#compare").is_visible()
    # The dialog tells of its closing in a later task, which then empties the stage.
    page.wait_for_selector("#stage video", state="detached", timeout=10_000)
    assert found.trouble == []


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
    found = opened(browser, Path(write_report(store, collect(store))).as_uri())
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
