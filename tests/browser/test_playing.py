"""The report's videos in a real headless Chromium, opened from the disk as a reader opens it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from components.results.report import collect, write_report
from components.storage.local import LocalStore
from eval.report import render
from tests.browser.page import opened, playing, times
from tests.finished_run import AT, drawn_clip, write_edit, write_run


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
    # In so narrow a page the first card, too, lies below what is seen.
    found.page.locator(".card:first-child").scroll_into_view_if_needed()
    playing(found.page, ".card:first-child video")
    last = ".card:last-child video"
    assert times(found.page, last) == [0, 0]
    found.page.locator(".card:last-child").scroll_into_view_if_needed()
    playing(found.page, last)
    found.page.wait_for_function(
        "() => [...document.querySelectorAll('.card:first-child video')].every((v) => v.paused)"
    )


def test_giving_a_player_back_while_it_loads_is_no_trouble(browser: Any, address: str) -> None:
    found = opened(browser, address)
    with found.page.expect_event(
        "requestfailed", lambda one: one.failure == "net::ERR_ABORTED", timeout=20_000
    ):
        found.page.evaluate(
            """() => setInterval(() => {
                for (const pair of pairs.values()) pair.hold();
                setTimeout(() => { for (const pair of pairs.values()) pair.release(); }, 5);
            }, 20)"""
        )
    assert found.trouble == []


def test_a_clip_that_is_gone_is_trouble(browser: Any, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "run")
    write_run(store)
    page = Path(write_report(store, collect(store)))
    for clip in (page.parent / "media").iterdir():
        clip.unlink()
    found = opened(browser, page.as_uri())
    found.page.wait_for_function("() => document.querySelector('.card video').error")
    assert any(one.endswith(".mp4: net::ERR_FILE_NOT_FOUND") for one in found.trouble)


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


def test_an_edit_at_another_rate_keeps_the_pace_of_its_source(browser: Any, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "run")
    write_run(store)
    write_edit(store, "car", "a-fast", "a fast jeep", drawn_clip(0.9), fps=24.0)
    page = opened(browser, Path(write_report(store, collect(store))).as_uri()).page
    playing(page, ".card:first-child video")
    rates = "[...document.querySelectorAll('.card:first-child video')].map((v) => v.playbackRate)"
    assert page.evaluate(rates) == [1, 0.5]
    page.locator("#edit-0 .compare").click()
    playing(page, "#stage video")
    assert page.evaluate(rates.replace(".card:first-child", "#stage")) == [1, 0.5]


def test_slow_clips_are_shown(browser: Any, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "run")
    write_run(store)
    write_edit(store, "car", "a-slow", "a slow jeep", drawn_clip(0.9), fps=0.05)
    found = opened(browser, Path(write_report(store, collect(store))).as_uri())
    playing(found.page, ".card:first-child video")
    last = "document.querySelectorAll('.card:first-child video')[1]"
    assert found.page.evaluate(f"{last}.duration") > 230
    assert found.trouble == []


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
