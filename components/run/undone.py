"""Failures that still matter: of work that is asked for and not done."""

from __future__ import annotations

from typing import Any

from components.records.keys import content_key
from components.run.view import View
from components.storage.tables import Row


def open_failures(view: View) -> list[Row]:
    """The last failure of each item of a view whose work is still asked for and still not done."""
    if not view.failures:
        return []
    captioner = view.clips.captioner
    undone: dict[str, set[tuple[str, str]]] = {
        "caption": {
            (content_key(video_key=row["video_key"], captioner=captioner), video_id)
            for video_id, row in view.videos.items()
            if video_id not in view.captions
        },
        "control": {
            (one.work_key, video_id)
            for video_id in view.controlled.maps
            for one in view.controlled.missing(video_id)
        },
        "tune": {
            (key.work_key, video_id)
            for video_id in view.stages
            for key, _ in view.wanted(video_id)[:1]
        },
        "sample": {
            (planned.edit_key, edit_id)
            for edit_id, planned in view.planned_edits.items()
            if edit_id not in view.edits
        },
        "score": {
            (view.score_key(row["edit_key"], protocol, view.mask(row["video_id"])), edit_id)
            for edit_id, row in view.edits.items()
            for protocol in view.config.score.protocols
            if (edit_id, protocol) not in view.scores
        },
    }
    asked = {entry.video_id for entry in view.manifest.videos}
    found: dict[tuple[str, ...], Row] = {}
    for (step, key, item_id), row in sorted(view.failures.items(), key=_time):
        work = key.partition("-")[0]  # of each finished video its last version's failure
        if (work, item_id) in undone.get(step, ()):
            found[step, work, item_id] = row
        # The key of a reading holds the source's version, which no row of ours knows.
        elif step == "ingest" and item_id in asked and item_id not in view.videos:
            found[step, key, item_id] = row
    return list(found.values())


def _time(failure: tuple[Any, Row]) -> Any:
    return failure[1]["at"]
