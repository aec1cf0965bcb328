"""The report step: from a run's tables to a folder that opens alone."""

from __future__ import annotations

import base64
import datetime as dt
import logging
import re
from pathlib import Path

import pytest

from components.results.report import collect, gallery, write_report
from components.results.scored import Selection
from components.storage.local import LocalStore
from components.storage.store import file_sha256
from components.storage.tables import read_table
from eval.report import render
from tests.finished_run import (
    AT,
    drawn_clip,
    write_edit,
    write_failure,
    write_run,
    write_score,
)

LATER_BY = dt.timedelta(hours=1)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "demo")


def test_the_folder_holds_the_page_and_every_video(store: LocalStore) -> None:
    edits = write_run(store)
    address = write_report(store, collect(store))
    assert address == f"{store.root}/report/index.html"
    page = Path(address).read_text(encoding="utf-8")
    files = sorted(Path(store.root, "report/media").iterdir())
    assert len(files) == 3 + len(edits)
    assert all(file_sha256(file) == file.stem for file in files)
    assert all(f"media/{file.name}" in page for file in files)


def test_rows_carry_source_scores_and_tuning(store: LocalStore) -> None:
    write_run(store)
    data = collect(store)
    assert data.title == "demo"
    assert [row.edit_id for row in data.rows] == sorted(row.edit_id for row in data.rows)
    row = next(row for row in data.rows if row.edit_id == "car/swap")
    assert row.source is not None
    assert (row.source.width, row.source.height) == (96, 64)
    assert (row.tune_seconds, row.tune_steps, row.seconds) == (600.0, 500, 61.5)
    assert [score.values["frame_consistency"] for score in row.scores] == [92.0]
    assert (row.variant, row.method, row.adapter_key) == ("", "tune_a_video", "a-car")


def test_edits_at_another_rate_keep_the_pace_of_their_source(store: LocalStore) -> None:
    """Those of former releases play at the source's rate, and their clip at its speed."""
    write_run(store)
    write_edit(store, "car", "fast", "a fast jeep", drawn_clip(0.9), fps=24.0)
    address = write_report(store, collect(store))
    speeds = {row.edit_id: row.edit.speed for row in collect(store).rows}
    assert speeds == dict.fromkeys(speeds, 1.0) | {"car/fast": 0.5}
    page = Path(address).read_text(encoding="utf-8")
    assert page.count('data-speed="') == page.count('data-speed="0.5"') == 1


def test_the_plans_edits_and_scores_alone_are_shown(store: LocalStore) -> None:
    write_run(store)
    keys = {"e-car-swap", "e-car-cartoon"}
    data = collect(store, Selection(edit_keys=keys, score_keys=set()))
    assert [row.edit_id for row in data.rows] == ["car/cartoon", "car/swap"]
    assert all(row.scores == () for row in data.rows)
    only = collect(store, Selection(edit_ids={"car/swap"}))
    assert [row.edit_id for row in only.rows] == ["car/swap"]


def test_an_edit_made_anew_under_another_key_leaves_the_old_one_out(store: LocalStore) -> None:
    edits = write_run(store)
    write_edit(store, "car", "swap", "a new prompt", drawn_clip(0.9), edit_key="e-new")
    keys = {edit["edit_key"] for edit in edits} - {"e-car-swap"} | {"e-new"}
    rows = {row.edit_id: row for row in collect(store, Selection(edit_keys=keys)).rows}
    assert rows["car/swap"].prompt == "a new prompt"
    assert rows["car/swap"].scores == ()


def test_the_last_score_of_a_protocol_and_model_counts(store: LocalStore) -> None:
    edit = write_run(store)[0]
    write_score(store, edit, 50.0, 5.0)
    write_score(store, edit, 60.0, 6.0, score_revision="sha256:other")
    row = next(row for row in collect(store).rows if row.edit_id == edit["edit_id"])
    assert sorted(score.values["frame_consistency"] for score in row.scores) == [50.0, 60.0]


def test_a_second_report_copies_nothing_and_drops_what_is_not_shown(store: LocalStore) -> None:
    write_run(store)
    write_report(store, collect(store))
    media = Path(store.root, "report/media")
    before = {file.name: file.stat().st_mtime_ns for file in media.iterdir()}
    mine = media / "notes.txt"
    mine.write_text("mine", encoding="utf-8")
    write_report(store, collect(store, Selection(edit_keys={"e-car-swap"})))
    after = {file.name: file.stat().st_mtime_ns for file in media.iterdir()}
    assert len(after) == 3
    assert mine.name in after
    assert {name: before[name] for name in after if name != mine.name} == {
        name: stamp for name, stamp in after.items() if name != mine.name
    }


def test_of_many_edits_the_newest_are_shown_and_a_table_has_every_one(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    edits = write_run(store)
    prompt, later = "<b>a new</b> car", AT + LATER_BY
    write_edit(store, "car", "newest", prompt, drawn_clip(0.9), created_at=later)
    monkeypatch.setattr("components.results.report.SHOWN", 1)
    monkeypatch.setattr("components.results.report.PAGE_SIZE", 2)
    data = collect(store, failures=read_table(store, "failures") * 2)
    page = Path(write_report(store, data)).read_text(encoding="utf-8")
    whole = render(data, {}, now=AT)
    count = len(edits) + 1
    assert f"The 1 newest of {count} edits" in page
    assert "The 1 newest of 2; <code>tav failures</code>" in page
    assert page.count('<article class="card"') == 1
    assert 'id="edit-0"' in page
    assert 'aria-label="car/newest"' in page
    means = re.compile(r'<table class="means">.*?</table>', re.DOTALL)
    assert means.findall(page) == means.findall(whole), "means are over all edits"
    media = list(Path(store.root, "report/media").iterdir())
    assert len(media) == 2, "the source and the edit that are shown"

    pages = sorted(Path(store.root, "report/edits").iterdir())
    assert [file.name for file in pages] == [f"{n:04}.html" for n in range(1, -(-count // 2) + 1)]
    assert all(f'href="edits/{file.name}"' in page for file in pages)
    listed = "".join(file.read_text(encoding="utf-8") for file in pages)
    assert all(f"<bdi>{row.edit_id}</bdi>" in listed for row in data.rows)
    assert listed.count("<tr>") == count + len(pages)
    assert "&lt;b&gt;a new&lt;/b&gt; car" in listed
    assert "<b>" not in listed
    assert "script" not in listed
    assert 'href="0002.html"' in pages[0].read_text(encoding="utf-8")

    monkeypatch.setattr("components.results.report.SHOWN", count)
    again = Path(write_report(store, collect(store))).read_text(encoding="utf-8")
    assert "newest of" not in again
    assert not list(Path(store.root, "report/edits").iterdir()), "what was a page is none any more"


@pytest.mark.parametrize("harm", ["remove", "change"])
def test_a_video_that_was_lost_is_named_and_the_rest_is_shown(
    store: LocalStore, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_run(store)
    lost = Path(store.root, "edits/e-car-swap.mp4")
    if harm == "remove":
        lost.unlink()
    else:
        lost.write_bytes(b"something else")
    with caplog.at_level(logging.WARNING, logger="components.results.report"):
        page = Path(write_report(store, collect(store))).read_text(encoding="utf-8")
    assert "edits/e-car-swap.mp4" in caplog.text
    assert page.count("This video is missing") == 1
    assert len(list(Path(store.root, "report/media").iterdir())) == 8


def test_the_failures_handed_over_are_shown_in_order_of_time(store: LocalStore) -> None:
    write_run(store)
    write_failure(store, "sample", "car", "first", edit_id="car/new", at=AT - LATER_BY)
    data = collect(store, failures=read_table(store, "failures"))
    assert [one.message.split(":")[0] for one in data.failures] == [
        "first",
        "broken.mp4 cannot be decoded",
    ]
    assert collect(store).failures == ()


def test_variants_share_rows_by_key_and_their_videos_are_copied_once(store: LocalStore) -> None:
    edits = write_run(store)
    other = write_edit(store, "car", "swap", "a jeep", drawn_clip(0.9), edit_key="e-other")
    write_score(store, other, 50.0, 5.0)
    keys = {edit["edit_key"] for edit in edits}
    chosen = {
        "full": Selection(edit_keys=keys),
        "bare": Selection(edit_keys=keys - {"e-car-swap"} | {"e-other"}),
    }
    data = collect(store, chosen)
    assert data.variants == ("full", "bare")
    found = [(row.edit_id, row.variant, row.edit_key) for row in data.rows]
    assert found[:4] == [
        ("car/cartoon", "full", "e-car-cartoon"),
        ("car/cartoon", "bare", "e-car-cartoon"),
        ("car/swap", "full", "e-car-swap"),
        ("car/swap", "bare", "e-other"),
    ]
    assert [row.scores[0].values["frame_consistency"] for row in data.rows[2:4]] == [92.0, 50.0]
    write_report(store, data)
    assert len(list(Path(store.root, "report/media").iterdir())) == 3 + 7


def test_one_file_holds_whole_edits_until_it_is_full(store: LocalStore) -> None:
    edits = write_run(store)
    keys = {edit["edit_key"] for edit in edits}
    data = collect(store, dict.fromkeys(("a", "b"), Selection(edit_keys=keys)))
    whole = gallery(store, data)
    assert "This video is missing" not in whole
    assert len(set(re.findall('src="(data:[^"]+)"', whole))) == 3 + len(edits)
    # Room for one edit: its source, and twice the video that both variants share.
    source, edit = (
        len("data:video/mp4;base64,") + len(base64.b64encode(Path(store.root, uri).read_bytes()))
        for uri in ("clips/v-car.mp4", "edits/e-car-cartoon.mp4")
    )
    for room, held in ((source + 2 * edit, 2), (source + 2 * edit - 1, 0)):
        text = gallery(store, data, max_bytes=room)
        assert len(set(re.findall('src="(data:[^"]+)"', text))) == held


def test_an_empty_run_has_a_page(store: LocalStore) -> None:
    page = Path(write_report(store, collect(store))).read_text(encoding="utf-8")
    assert "No edit was sampled yet" in page
