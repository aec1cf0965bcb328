"""The report step: from a run's tables to a folder that opens alone."""

from __future__ import annotations

import datetime as dt
import logging
from pathlib import Path

import pytest

from components.results.report import collect, write_report
from components.storage.local import LocalStore
from components.storage.store import file_sha256
from components.storage.tables import append_rows
from tests.finished_run import (
    AT,
    drawn_clip,
    provenance,
    write_edit,
    write_failure,
    write_run,
    write_score,
)

LATER = AT + dt.timedelta(hours=1)


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
    assert [score.frame_consistency for score in row.scores] == [92.0]
    assert [failure.video_id for failure in data.failures] == ["broken"]


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
    data = collect(store, {"e-car-swap", "e-car-cartoon"}, score_keys=set(), item_keys=set())
    assert [row.edit_id for row in data.rows] == ["car/cartoon", "car/swap"]
    assert all(row.scores == () for row in data.rows)
    assert data.failures == ()
    assert [row.edit_id for row in collect(store, edit_ids={"car/swap"}).rows] == ["car/swap"]


def test_an_edit_made_anew_under_another_key_leaves_the_old_one_out(store: LocalStore) -> None:
    edits = write_run(store)
    write_edit(store, "car", "swap", "a new prompt", drawn_clip(0.9), edit_key="e-new")
    keys = {edit["edit_key"] for edit in edits} - {"e-car-swap"} | {"e-new"}
    rows = {row.edit_id: row for row in collect(store, keys).rows}
    assert rows["car/swap"].prompt == "a new prompt"
    assert rows["car/swap"].scores == ()


def test_the_last_score_of_a_protocol_and_model_counts(store: LocalStore) -> None:
    edit = write_run(store)[0]
    write_score(store, edit, 50.0, 5.0)
    write_score(store, edit, 60.0, 6.0, score_revision="sha256:other")
    row = next(row for row in collect(store).rows if row.edit_id == edit["edit_id"])
    assert sorted(score.frame_consistency or 0 for score in row.scores) == [50.0, 60.0]


def test_a_second_report_copies_nothing_and_drops_what_is_not_shown(store: LocalStore) -> None:
    write_run(store)
    write_report(store, collect(store))
    media = Path(store.root, "report/media")
    before = {file.name: file.stat().st_mtime_ns for file in media.iterdir()}
    mine = media / "notes.txt"
    mine.write_text("mine", encoding="utf-8")
    write_report(store, collect(store, {"e-car-swap"}))
    after = {file.name: file.stat().st_mtime_ns for file in media.iterdir()}
    assert len(after) == 3
    assert mine.name in after
    assert {name: before[name] for name in after if name != mine.name} == {
        name: stamp for name, stamp in after.items() if name != mine.name
    }


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


def test_a_failure_is_shown_until_its_work_is_done(store: LocalStore) -> None:
    edit = write_run(store)[0]
    ids = {"edit_id": edit["edit_id"], "error_type": "ScoreError"}
    write_failure(store, "score", "surfer", "first", item_key="s-1", **ids)
    write_failure(store, "score", "surfer", "again", item_key="s-1", attempt=2, **ids)
    shown = {failure.message: failure for failure in collect(store).failures}
    assert "first" not in shown
    assert shown["again"].attempt == 2
    # Another protocol's score of this edit does not make up for it.
    write_score(store, edit, 1.0, 1.0, protocol="b_v1", **provenance(1.0, LATER))
    assert "again" in {failure.message for failure in collect(store).failures}
    write_score(store, edit, 1.0, 1.0, score_key="s-1", **provenance(1.0, LATER))
    assert "again" not in {failure.message for failure in collect(store).failures}


@pytest.mark.parametrize(("at", "shown"), [(AT - dt.timedelta(hours=1), True), (LATER, False)])
def test_a_later_row_of_the_same_edit_makes_up_for_a_failure(
    store: LocalStore, at: dt.datetime, *, shown: bool
) -> None:
    write_run(store)
    write_failure(store, "sample", "car", "NaN", edit_id="car/new", item_key="e-old")
    write_edit(store, "car", "new", "shorter", drawn_clip(0.9), **provenance(1.0, at))
    assert ("NaN" in {failure.message for failure in collect(store).failures}) == shown


def test_a_tuning_without_its_inversion_is_still_a_failure(store: LocalStore) -> None:
    write_run(store)
    # The adapter's row is later than the failure, but the step ends with the latents' row.
    early = AT - dt.timedelta(hours=1)
    write_failure(store, "tune", "car", "NaN latents", item_key="a-car", at=early)
    assert "NaN latents" in {failure.message for failure in collect(store).failures}
    latents = {
        "adapter_key": "a-car",
        "inversion": "ddim-50",
        "video_id": "car",
        "latents": [0.0],
        "latents_shape": [1],
        "reconstruction_psnr": 20.0,
        "base_model": "base",
        "base_revision": "1",
        "seed": 33,
        **provenance(1.0),
    }
    append_rows(store, "latents", [latents])
    assert "NaN latents" not in {failure.message for failure in collect(store).failures}


def test_an_empty_run_has_a_page(store: LocalStore) -> None:
    page = Path(write_report(store, collect(store))).read_text(encoding="utf-8")
    assert "No edit was sampled yet" in page
