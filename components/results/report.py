"""The report step: the run's gallery, one folder that opens offline."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import logging
import re
from collections.abc import Collection, Iterable
from typing import Any

from components.errors import TransientError
from components.results.export import current_edits, current_scores
from components.storage.schemas import KEYS
from components.storage.scratch import scratch_folder
from components.storage.store import Store
from components.storage.tables import Row, read_table
from eval.measures import MEASURES
from eval.report import Media, ReportData, ReportFailure, ReportRow, ReportScore, render

logger = logging.getLogger(__name__)

FOLDER = "report"
INDEX = f"{FOLDER}/index.html"
"""The gallery's page, within the run."""
_MEDIA = re.compile(r"report/media/[0-9a-f]{64}\.mp4")
_TABLES = {
    "ingest": "videos",
    "caption": "captions",
    "tune": "latents",
    "sample": "edits",
    "score": "scores",
}
"""The last table that each step writes: a row there, later than a failure, makes up for it."""


def collect(
    store: Store,
    edit_keys: Collection[str] | None = None,
    *,
    edit_ids: Collection[str] | None = None,
    score_keys: Collection[str] | None = None,
    item_keys: Collection[str] | None = None,
) -> ReportData:
    """Read what the report shows.

    Args:
        store: The run's store.
        edit_keys: The edits that the current plan asks for; none means every row.
        edit_ids: Their ids; an edit that was only renamed has two rows of one key.
        score_keys: The scores that count; none means every score of those edits. Scores of one
            protocol by two models are shown apart, never averaged together.
        item_keys: The items whose failures count; none means every item's. A failure whose work
            was done later is never shown.
    """
    edits = current_edits(store, edit_keys, edit_ids)
    scores = current_scores(store, score_keys)
    videos = {(row["video_id"], row["video_key"]): row for row in read_table(store, "videos")}
    adapters = {row["adapter_key"]: row for row in read_table(store, "adapters")}
    rows = tuple(
        _report_row(
            row,
            videos.get((row["video_id"], row["video_key"])),
            adapters.get(row["adapter_key"]),
            scores.get((row["edit_id"], row["edit_key"]), []),
        )
        for row in edits
    )
    return ReportData(
        title=re.split(r"[/\\]", store.root.rstrip("/\\"))[-1],
        rows=rows,
        failures=tuple(_failures(store, item_keys)),
    )


def write_report(store: Store, data: ReportData) -> str:
    """Write ``report/index.html`` and the mp4 files that it shows into the run.

    The folder opens from a disk without network and can be copied elsewhere. The page is written
    last; files of an earlier report that nothing shows any more are removed after it.

    Args:
        store: The run's store.
        data: From ``collect``.

    Returns:
        The page's address.
    """
    wanted = {
        media.sha256: media
        for row in data.rows
        for media in (row.source, row.edit)
        if media is not None
    }
    shown = {sha256 for sha256, media in wanted.items() if _copy(store, media)}
    addresses = {sha256: f"media/{sha256}.mp4" for sha256 in shown}
    page = render(data, addresses, now=dt.datetime.now(dt.UTC))
    store.write_bytes(INDEX, page.encode("utf-8", errors="replace"))
    for info in list(store.list(f"{FOLDER}/media")):
        if _MEDIA.fullmatch(info.path) and info.path[-68:-4] not in shown:
            store.delete(info.path)
    return f"{store.root}/{INDEX}"


def gallery(store: Store, data: ReportData, max_bytes: int = 16_000_000) -> str:
    """The page as one text that holds its videos, for places that show a single file.

    Args:
        store: The run's store.
        data: From ``collect``.
        max_bytes: Of videos; those of later edits are left out when they would exceed it.
    """
    addresses: dict[str, str] = {}
    room = max_bytes
    for row in data.rows:
        pair = {one.sha256: one for one in (row.source, row.edit) if one is not None}
        found = {name: _inline(store, one) for name, one in pair.items() if name not in addresses}
        room -= sum(map(len, found.values()))
        if room < 0:
            break
        addresses |= {name: text for name, text in found.items() if text}
    return render(data, addresses, now=dt.datetime.now(dt.UTC))


def _inline(store: Store, media: Media) -> str:
    """A video as a data URI; empty, and a warning, when it is not to be had."""
    with scratch_folder() as folder:
        local = folder / "video.mp4"
        try:
            store.fetch_checked(media.uri, local, media.sha256)
        except TransientError as error:
            logger.warning("step=report the gallery lacks a video: %s", error)
            return ""
        return "data:video/mp4;base64," + base64.b64encode(local.read_bytes()).decode("ascii")


def _copy(store: Store, media: Media) -> bool:
    """Copy a video beside the page; false, and a warning, when it is not to be had."""
    target = f"{FOLDER}/media/{media.sha256}.mp4"
    # The name is the content's digest and objects appear whole: what is there is right.
    if _MEDIA.fullmatch(target) and store.stat(target) is not None:
        return True
    with scratch_folder() as folder:
        local = folder / "video.mp4"
        try:
            store.fetch_checked(media.uri, local, media.sha256)
        except TransientError as error:
            logger.warning("step=report the report lacks a video: %s", error)
            return False
        store.write_file(target, local)
    return True


def _report_row(
    row: Row, video: Row | None, adapter: Row | None, scores: Iterable[Row]
) -> ReportRow:
    source = None
    if video is not None and video["clip_uri"]:
        source = Media(
            uri=video["clip_uri"],
            sha256=video["clip_sha256"],
            width=video["width"],
            height=video["height"],
        )
    edit = Media(
        uri=row["video_uri"],
        sha256=row["sha256"],
        width=source.width if source else None,
        height=source.height if source else None,
        # Edits of former releases, or under another output.fps, have another rate than the clip.
        speed=(video["clip_fps"] or video["fps"]) / row["fps"] if video else 1.0,
    )
    same = ("video_id", "edit_id", "edit_key", "source_prompt", "prompt", "num_frames", "fps")
    made = ("seed", "base_model", "base_revision", "config_hash", "code_version", "device")
    return ReportRow(
        **{name: row[name] for name in (*same, *made, "library_versions", "seconds", "created_at")},
        category=row["category"] or "other",
        source=source,
        edit=edit,
        scores=tuple(_report_score(score) for score in scores),
        tune_seconds=adapter["seconds"] if adapter else None,
        tune_steps=adapter["steps"] if adapter else None,
    )


def _report_score(row: Row) -> ReportScore:
    names = ("protocol", "score_model", "score_revision", *MEASURES)
    return ReportScore(**{name: row[name] for name in names})


def _failures(store: Store, item_keys: Collection[str] | None) -> Iterable[ReportFailure]:
    """The last failure of each item whose work was not done since."""
    latest: dict[tuple[str, str, str, str | None], Row] = {}
    for row in read_table(store, "failures"):
        if item_keys is None or row["item_key"] in item_keys:
            latest[row["step"], row["item_key"], row["video_id"], row["edit_id"]] = row
    done: dict[str, dict[Any, dt.datetime]] = {}
    for row in sorted(latest.values(), key=lambda one: one["at"]):
        step = row["step"]
        if step not in done:
            done[step] = _times(store, step) if step in _TABLES else {}
        names = (row["item_key"], (row["video_id"], row["edit_id"]))
        if all(done[step].get(name, row["at"]) <= row["at"] for name in names):
            columns = [field.name for field in dataclasses.fields(ReportFailure)]
            yield ReportFailure(**{name: row[name] for name in columns})


def _times(store: Store, step: str) -> dict[Any, dt.datetime]:
    """When each item's row was committed: by its keys, and by the ids that it is about."""
    table = _TABLES[step]
    columns = {"video_id", "created_at", *KEYS[table]}
    times: dict[Any, dt.datetime] = {}
    for row in read_table(store, table, sorted(columns)):
        names = [row[column] for column in columns if column.endswith("_key")]
        # Another protocol's score of the same edit does not make up for this one.
        if step != "score":
            names.append((row["video_id"], row.get("edit_id")))
        for name in names:
            times[name] = max(times.get(name, row["created_at"]), row["created_at"])
    return times
