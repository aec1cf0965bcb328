"""Variants side by side in a real headless Chromium: clock, chooser, table."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from components.results.report import collect, write_report
from components.storage.local import LocalStore
from tests.browser.page import cards, choices, column, opened, playing, shown, times
from tests.finished_run import drawn_clip, write_edit, write_run, write_variants

NAMES = ("full", "no_tuning", "noise", "pnp", "sdedit", "same")
HOSTILE = (
    "<script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked = 1">',
    "' autofocus onfocus='window.hacked = 1",
    "{{7*7}},&variants=%E0%A4%A",
    "\u202eabc" + "שלום" * 9,
    "very_" * 60,
)


def variants_page(folder: Path, names: tuple[str, ...] = NAMES) -> str:
    """The address of a report of so many variants."""
    store = LocalStore(folder / "run")
    chosen = write_variants(store, names)
    return Path(write_report(store, collect(store, chosen))).as_uri()


@pytest.fixture(scope="module")
def variants_address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return variants_page(tmp_path_factory.mktemp("variants"))


def first_plays(page: Any) -> None:
    """Wait until every shown variant of the first edit plays."""
    page.locator("#edit-0").scroll_into_view_if_needed()
    playing(page, "#edit-0 .clip:not([hidden]) video")


def test_all_variants_of_an_edit_play_on_one_clock(browser: Any, variants_address: str) -> None:
    found = opened(browser, variants_address)
    first = "#edit-0 video"
    first_plays(found.page)
    assert found.page.locator(first).count() == 7
    at = times(found.page, first)
    assert max(at) - min(at) < 0.15
    # A clip lasts a second: a second pass begins with all.
    found.page.wait_for_function("() => document.querySelector('video').currentTime > 0.8")
    found.page.wait_for_function("() => document.querySelector('video').currentTime < 0.5")
    first_plays(found.page)
    at = times(found.page, first)
    assert max(at) - min(at) < 0.15
    found.page.click("#pause")
    assert found.page.evaluate("[...document.querySelectorAll('video')].every((one) => one.paused)")
    assert found.trouble == []


def test_a_variant_of_another_rate_and_length_keeps_the_clock(browser: Any, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "run")
    chosen = write_variants(store, ("full", "other", "same"))
    key = "e1-car-cartoon"
    fast = write_edit(
        store, "car", "cartoon", "fast", drawn_clip(0.9, frames=36), fps=24.0, edit_key=f"{key}-2"
    )
    prompt = "a jeep is moving on the road, cartoon style"
    data = collect(store, chosen)
    (quick,) = (row for row in collect(store).rows if row.edit_key == fast["edit_key"])
    rows = tuple(
        dataclasses.replace(quick, variant="other", prompt=prompt) if row.edit_key == key else row
        for row in data.rows
    )
    address = write_report(store, dataclasses.replace(data, rows=rows))
    page = opened(browser, Path(address).as_uri()).page
    first_plays(page)
    assert page.evaluate(
        "[...document.querySelectorAll('#edit-0 video')].map((one) => one.playbackRate)"
    ) == [1, 1, 0.5, 1]
    # 36 frames at half of 24 last 3 seconds: the others wait.
    page.wait_for_function(
        """() => {
            const [source, first, other] = document.querySelectorAll('#edit-0 video');
            return source.ended && first.ended && other.currentTime > 1 && !other.paused;
        }""",
        polling=20,
    )
    first_plays(page)


def test_the_chooser_hides_variants_everywhere_by_mouse_and_keyboard(
    browser: Any, variants_address: str
) -> None:
    found = opened(browser, variants_address)
    page = found.page
    first_plays(page)
    assert choices(page) == list(NAMES)
    page.click("#chooser >> text=no_tuning")
    page.locator("#chooser .chip", has_text="pnp").focus()
    page.keyboard.press("Space")
    left = ["full", "noise", "sdedit", "same"]
    assert choices(page) == left
    assert shown(page, "#edit-0 .clip[data-variant] figcaption bdi") == left
    assert shown(page, ".legend bdi") == left
    assert page.locator(".plot a:visible").count() == 4 * 6 - 1
    assert set(column(page, 4)) == set(left)
    assert len(column(page, 4)) == 4 * 6
    # What is hidden gives its player back, and does not hold up the others.
    hidden = "[...document.querySelectorAll('figure[hidden] video')]"
    assert page.evaluate(f"{hidden}.every((one) => !one.hasAttribute('src'))")
    first_plays(page)
    page.click("#chooser >> text=no_tuning")
    back = "#edit-0 .clip:not([hidden]) video"
    playing(page, back)
    at = times(page, back)
    assert len(at) == 6
    assert max(at) - min(at) < 0.15
    # The overview keeps all, and one variant stays.
    assert len(shown(page, ".overview tbody th bdi")) == 6
    page.click("#chooser >> text=All variants")
    assert choices(page) == list(NAMES)
    for name in NAMES:
        page.locator("#chooser .chip[data-choose]", has_text=name).click()
    assert choices(page) == ["same"]
    assert found.trouble == []


def test_the_address_remembers_the_choice_beside_a_card(
    browser: Any, variants_address: str
) -> None:
    page = opened(browser, variants_address).page
    page.click("#chooser >> text=noise")
    page.evaluate("location.hash = '#edit-3'")
    page.wait_for_function("() => location.hash.includes('variants=')")
    assert page.evaluate("location.hash") == "#edit-3&variants=full,no_tuning,pnp,sdedit,same"
    page.reload()
    assert choices(page) == [name for name in NAMES if name != "noise"]
    page.wait_for_function(
        "() => Math.abs(document.querySelector('#edit-3').getBoundingClientRect().top) < 400"
    )
    page.evaluate("location.hash = '#variants=pnp,unknown'")
    page.wait_for_function(
        "() => document.querySelectorAll('#chooser [aria-pressed=true]').length === 1"
    )
    assert choices(page) == ["pnp"]
    for odd in ("#variants=", "#variants=unknown", "#variants=%E0%A4%A"):
        page.goto("about:blank")
        page.goto(variants_address + odd)
        assert choices(page) == list(NAMES)


def test_more_variants_than_six_begin_with_six(browser: Any, tmp_path: Path) -> None:
    names = tuple(f"variant {number}" for number in range(8))
    page = opened(browser, variants_page(tmp_path, names)).page
    assert choices(page) == list(names[:6])
    assert len(shown(page, "#edit-0 .clip")) == 7
    page.click("#chooser >> text=All variants")
    assert choices(page) == list(names)


def test_edits_sort_by_their_first_shown_variant_and_filters_count_edits(
    browser: Any, variants_address: str
) -> None:
    page = opened(browser, variants_address).page
    assert len(cards(page)) == 6
    page.locator("#rows th button", has_text="Consistency").click()
    first = cards(page)
    assert list(dict.fromkeys(column(page, 1))) == first
    assert first[0] == "car/cartoon"
    # Of other variants the edits rank in another order; the one that lacks a score is last.
    for name in NAMES[:4]:
        page.locator("#chooser .chip", has_text=name).dispatch_event("click")
    assert choices(page) == ["sdedit", "same"]
    assert cards(page)[0] == "surfer/swap"
    assert cards(page)[-1] == "car/swap"
    values = [
        float(one)
        for one, name in zip(column(page, 5), column(page, 4), strict=True)
        if name == "sdedit" and one != "–"
    ]
    assert values == sorted(values, reverse=True)
    page.fill("#search", "rabbit cartoon")
    assert cards(page) == ["rabbit/cartoon"]
    assert column(page, 4) == ["sdedit", "same"]
    assert page.inner_text("#shown") == "1 of 6"


def test_the_table_of_variants_counts_and_marks(browser: Any, variants_address: str) -> None:
    page = opened(browser, variants_address).page
    lines = page.locator(".overview tbody tr")
    assert lines.count() == 6
    # Consistency falls and alignment rises from variant to variant; the last is the first again.
    assert [cell.split(" ")[0] for cell in shown(page, ".overview td.best")] == [
        "91.17",
        "28.50",
        "91.17",
    ]
    assert "1 missing" in lines.nth(4).inner_text()
    assert "tune_a_video" in lines.nth(0).inner_text()


def test_the_comparison_lays_any_two_over_each_other(browser: Any, variants_address: str) -> None:
    found = opened(browser, variants_address)
    page = found.page
    page.click("#edit-1 .compare")
    playing(page, "#stage video")
    assert page.locator("#left").evaluate("one => one.value") == "source"
    assert page.locator("#right").evaluate("one => one.value") == "0"
    page.select_option("#left", label="noise")
    page.select_option("#right", label="pnp")
    playing(page, "#stage video")
    addresses = "[...document.querySelectorAll('#stage video')].map((one) => one.dataset.address)"
    second, third = (
        page.locator(f"#edit-1 [data-variant='{index}'] video").evaluate("v => v.dataset.address")
        for index in (2, 3)
    )
    assert page.evaluate(addresses) == [second, third]
    page.click("#next")
    assert page.inner_text("#compare-title") == "rabbit/cartoon"
    assert page.locator("#left").evaluate("one => one.value") == "2"
    assert found.trouble == []


@pytest.mark.parametrize("browser", [{"reduced_motion": "reduce"}], indirect=True)
def test_by_hand_all_variants_play_stop_and_scrub_together(
    browser: Any, variants_address: str
) -> None:
    page = opened(browser, variants_address).page
    page.locator("#edit-0").scroll_into_view_if_needed()
    page.wait_for_function(
        "() => [...document.querySelectorAll('#edit-0 video')].every((v) => v.readyState >= 3)"
    )
    ended = page.evaluate(
        """async () => {
            const videos = [...document.querySelectorAll('#edit-0 video')];
            const late = performance.now() + 10000;
            const all = async (fits) => {
                while (!videos.every(fits)) {
                    if (performance.now() > late) throw new Error('they do not follow');
                    await new Promise((done) => setTimeout(done, 2));
                }
            };
            await videos[3].play();
            await all((one) => !one.paused);
            videos[2].pause();
            await all((one) => one.paused);
            return videos.map((one) => one.ended);
        }"""
    )
    assert ended == [False] * 7
    page.evaluate("document.querySelectorAll('#edit-0 video')[1].currentTime = 0.4")
    page.wait_for_function(
        """() => [...document.querySelectorAll('#edit-0 video')]
            .every((v) => Math.abs(v.currentTime - 0.4) < 0.05)"""
    )


@pytest.mark.parametrize("browser", [{"java_script_enabled": False}], indirect=True)
def test_without_javascript_every_variant_is_there(browser: Any, variants_address: str) -> None:
    page = opened(browser, variants_address).page
    assert page.locator("#edit-0 video[controls]").count() == 7
    assert page.locator(".overview tbody tr").count() == 6
    assert page.locator("#rows tbody tr").count() == 36


def test_hostile_names_of_variants_and_methods_stay_text(browser: Any, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "run")
    data = collect(store, write_variants(store, HOSTILE))
    rows = tuple(dataclasses.replace(row, method=row.variant[::-1]) for row in data.rows)
    found = opened(
        browser, Path(write_report(store, dataclasses.replace(data, rows=rows))).as_uri()
    )
    page = found.page
    page.set_viewport_size({"width": 390, "height": 844})
    assert shown(page, "#edit-0 figcaption bdi") == list(HOSTILE)
    assert shown(page, ".overview th bdi") == list(HOSTILE)
    for index in range(len(HOSTILE) - 1):
        page.click(f"#chooser [data-choose='{index}']")
    assert choices(page) == [HOSTILE[-1]]
    page.click("#chooser [data-choose='3']")
    page.reload()
    assert choices(page) == [HOSTILE[3], HOSTILE[5]]
    page.click("#edit-0 .compare")
    page.keyboard.press("Escape")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("window.hacked") is None
    assert page.locator("img, iframe, object, embed, link").count() == 0
    assert page.locator("script").count() == 1
    assert found.trouble == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_six_variants_lie_in_a_row_that_fits(
    browser: Any, variants_address: str, scheme: str, width: int
) -> None:
    page = opened(browser, variants_address).page
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    first_plays(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = page.evaluate(
        """[...document.querySelectorAll('#edit-0 .clip video')]
            .map((one) => one.getBoundingClientRect())
            .map((at) => [at.left, at.top, at.width, at.height])"""
    )
    assert len({round(top) for _, top, _, _ in boxes}) == 1
    assert len({(round(w), round(h)) for _, _, w, h in boxes}) == 1
    assert boxes[0][2] > 140
    if width == 1280:
        assert boxes[-1][0] + boxes[-1][2] < width
    else:
        # The source stays in sight beside what is scrolled to.
        page.locator("#edit-0 .lineup").evaluate("one => one.scrollTo(9999, 0)")
        left = page.evaluate(
            """[...document.querySelectorAll('#edit-0 .clip video')]
                .map((one) => one.getBoundingClientRect().left)"""
        )
        assert left[0] == boxes[0][0]
        assert left[-1] + boxes[-1][2] < width


def test_a_run_without_variants_does_not_speak_of_them(browser: Any, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "run")
    write_run(store)
    page = opened(browser, Path(write_report(store, collect(store))).as_uri()).page
    assert "ariant" not in page.inner_text("body")
    assert page.locator("#chooser, .overview, .lineup, .legend, select").count() == 0
