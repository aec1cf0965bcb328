"""The report step: the run's gallery, one folder that opens offline."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import itertools
import logging
import re
from collections.abc import Iterable, Sequence

from components.errors import TransientError
from components.results.scored import (
    ScoredEdit,
    Selection,
    Variants,
    by_variant,
    scored_edits,
)
from components.storage.scratch import scratch_folder
from components.storage.store import Store
from components.storage.tables import Row, read_table
from eval.report import (
    Media,
    ReportData,
    ReportFailure,
    ReportRow,
    ReportScore,
    render,
    table_pages,
)
from eval.report.cards import cards, newest

logger = logging.getLogger(__name__)

FOLDER = "report"
INDEX = f"{FOLDER}/index.html"
"""The gallery's page, within the run."""
_MEDIA = re.compile(r"report/media/[0-9a-f]{64}\.mp4")
_PAGE = re.compile(r"report/edits/[0-9]{4,}\.html")
_VIDEO_COLUMNS = ("clip_uri", "clip_sha256", "clip_fps", "fps", "width", "height")
SHOWN = 500
"""Edits that the page shows, the newest ones, and failures; of more a table has the rest."""
PAGE_SIZE = 1000
"""Edits of a page of that table."""


def collect(
    store: Store,
    chosen: Selection | Variants | None = None,
    *,
    failures: Iterable[Row] = (),
) -> ReportData:
    """Read what the report shows.

    Scores of one protocol by two models are shown apart, never averaged together.

    Args:
        store: The run's store.
        chosen: What counts, of a run without variants or of each variant; none means every row.
        failures: Rows of ``failures`` whose work is still asked for and not done.
    """
    variants = by_variant(Selection() if chosen is None else chosen)
    videos = {
        (row["video_id"], row["video_key"]): row
        for row in read_table(store, "videos", _VIDEO_COLUMNS)
    }
    adapters = {
        row["adapter_key"]: row
        for row in read_table(store, "adapters", ("seconds", "steps", "group_videos"))
    }
    controls = {
        (row["video_id"], row["control_key"]): row
        for row in read_table(store, "controls", ("map", "preview_uri", "preview_sha256"))
    }
    rows = tuple(
        _report_row(
            one,
            [
                controls[name]
                for key in one.edit["control_keys"] or ()
                if (name := (one.edit["video_id"], key)) in controls
            ],
            videos.get((one.edit["video_id"], one.edit["video_key"])),
            adapters.get(one.edit["adapter_key"]),
        )
        for one in scored_edits(store, variants)
    )
    return ReportData(
        title=re.split(r"[/\\]", store.root.rstrip("/\\"))[-1],
        variants=tuple(variants),
        rows=rows,
        failures=tuple(_report_failure(row) for row in sorted(failures, key=lambda row: row["at"])),
    )


def write_report(store: Store, data: ReportData) -> str:
    """Write ``report/index.html`` and the mp4 files that it shows into the run.

    The folder opens from a disk without network and can be copied elsewhere. Of more than ``SHOWN``
    edits the page shows the newest, and pages of a table below ``report/edits`` list every one. The
    page is written last; files of an earlier report that nothing shows any more are removed after
    it.

    Args:
        store: The run's store.
        data: From ``collect``.

    Returns:
        The page's address.
    """
    every = cards(data)
    wanted = {
        media.sha256: media
        for card in newest(every, SHOWN)
        for tile in card.tiles
        for media in (tile.row.source, tile.row.edit, *(one for _, one in tile.row.maps))
        if media is not None
    }
    count = -(-len(every) // PAGE_SIZE) if len(every) > SHOWN else 0
    names = [f"{number:04}.html" for number in range(1, count + 1)]
    for name, text in zip(names, table_pages(data, names, PAGE_SIZE), strict=True):
        store.write_bytes(f"{FOLDER}/edits/{name}", text.encode("utf-8", errors="replace"))
    pages = [f"edits/{name}" for name in names]
    shown = {sha256 for sha256, media in wanted.items() if _copy(store, media)}
    addresses = {sha256: f"media/{sha256}.mp4" for sha256 in shown}
    page = render(data, addresses, now=dt.datetime.now(dt.UTC), most=SHOWN, pages=pages)
    store.write_bytes(INDEX, page.encode("utf-8", errors="replace"))
    kept = {f"{FOLDER}/{address}" for address in (*addresses.values(), *pages)}
    for info in (*store.list(f"{FOLDER}/media"), *store.list(f"{FOLDER}/edits")):
        ours = _MEDIA.fullmatch(info.path) or _PAGE.fullmatch(info.path)
        if ours and info.path not in kept:
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
    # Whole edits: a variant whose video is left out would seem to have failed.
    for _, group in itertools.groupby(data.rows, key=lambda row: (row.video_id, row.edit_id)):
        rows = list(group)
        # The text holds a video once for each place that shows it.
        maps = (one for row in rows for _, one in row.maps)
        every = (rows[0].source, *maps, *(row.edit for row in rows))
        shown = [one for one in every if one is not None]
        found = {one.sha256: addresses.get(one.sha256) or _inline(store, one) for one in shown}
        room -= sum(len(found[one.sha256]) for one in shown)
        if room < 0:
            break
        addresses |= {name: text for name, text in found.items() if text}
    return render(data, addresses, now=dt.datetime.now(dt.UTC), most=SHOWN)


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
    one: ScoredEdit, controls: Sequence[Row], video: Row | None, adapter: Row | None
) -> ReportRow:
    row = one.edit
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
        variant=one.variant,
        method=one.method,
        category=row["category"] or "other",
        source=source,
        maps=tuple((name, media) for name, media in _maps(controls, source).items()),
        edit=edit,
        scores=tuple(_report_score(score) for score in one.scores),
        adapter_key=row["adapter_key"] if adapter else None,
        group=tuple(adapter["group_videos"] or ()) if adapter else (),
        tune_seconds=adapter["seconds"] if adapter else None,
        tune_steps=adapter["steps"] if adapter else None,
    )


def _maps(controls: Sequence[Row], source: Media | None) -> dict[str, Media]:
    """Previews of the maps that steered an edit; two nets may have been shown one."""
    return {
        row["map"]: Media(
            uri=row["preview_uri"],
            sha256=row["preview_sha256"],
            width=source.width if source else None,
            height=source.height if source else None,
        )
        for row in controls
    }


def _report_score(row: Row) -> ReportScore:
    names = ("protocol", "score_model", "score_revision", "values", "reasons")
    return ReportScore(**{name: row[name] for name in names})


def _report_failure(row: Row) -> ReportFailure:
    names = [field.name for field in dataclasses.fields(ReportFailure)]
    return ReportFailure(**{name: row[name] for name in names})
