"""What a run still has to do of its clips, which all variants share: ingest and captions."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict

from components.config import VideoConfig
from components.errors import UserError
from components.manifest.edits import VideoEntry
from components.records.keys import content_key
from components.run.clips import clip_reference, reading_version
from components.run.current import State
from components.run.undone import open_failures
from components.run.view import View
from components.steps.caption import CaptionItem
from components.steps.ingest import IngestItem
from components.storage.tables import Row
from components.video.read import READING_VERSION


def ingest_key(entry: VideoEntry, version: str, video: VideoConfig, mask: str | None = None) -> str:
    """Content key of reading one version of one source, with one version of its mask."""
    # Of no part without it, so that failures of videos without masks keep their keys.
    masked = {} if mask is None else {"mask": {"uri": entry.mask, "version": mask}}
    # With the limits, which are in no key of a result: what failed for one is tried under another.
    limits = asdict(video.limits)
    return content_key(
        video_id=entry.video_id,
        uri=entry.uri,
        version=version,
        video=video,
        limits=limits,
        reading_version=READING_VERSION,  # what one version refuses another may read
        **masked,
    )


class ClipPlan:
    """The work of these steps that one view of the tables leaves."""

    def __init__(self, view: View, *, retry_failed: bool = False) -> None:
        self.view = view
        self._retry_failed = retry_failed

    def attempt(self, step: str, item_key: str, item_id: str) -> int | None:
        """Which try comes next, or none when the item has failed for good."""
        failure = self.view.failures.get((step, item_key, item_id))
        if failure is None:
            return 1
        attempt = int(failure["attempt"]) + 1
        again = failure["retryable"] and attempt <= self.view.config.max_attempts
        return attempt if again or self._retry_failed else None

    def retries(self, step: str) -> int:
        """How many items of a step failed for a passing reason and have attempts left."""
        return sum(
            row["step"] == step
            and row["retryable"]
            and row["attempt"] < self.view.config.max_attempts
            for row in self._failures
        )

    @functools.cached_property
    def _failures(self) -> list[Row]:
        return open_failures(self.view)

    @functools.cached_property
    def lost(self) -> set[tuple[str, str]]:
        """Steps with the videos or edits that have failed there for good."""
        ids = ((row, row["edit_id"] or row["video_id"]) for row in self._failures)
        return {
            (row["step"], one)
            for row, one in ids
            if self.attempt(row["step"], row["item_key"], one) is None
        }

    def ingest_items(self, versions: Mapping[str, str]) -> list[IngestItem]:
        """Videos to read; see ``plan_items``."""
        items = []
        for entry in self.view.manifest.videos:
            version = versions.get(entry.uri)
            mask = None if entry.mask is None else versions.get(entry.mask)
            row = self.view.videos.get(entry.video_id)
            if version is None or (entry.mask is not None and mask is None):
                continue
            if row is not None and self._is_read(row, version, mask):
                continue
            video = self.view.clips.video_config(entry)
            key = ingest_key(entry, version, video, mask)
            if (attempt := self.attempt("ingest", key, entry.video_id)) is not None:
                items.append(
                    IngestItem(
                        item_key=key,
                        video_id=entry.video_id,
                        uri=entry.uri,
                        source_version=version,
                        video=asdict(video),
                        mask_uri=entry.mask,
                        mask_version=mask,
                        attempt=attempt,
                    )
                )
        return items

    def _is_read(self, row: Row, version: str, mask: str | None) -> bool:
        found = (row["source_version"], row["mask_version"])
        read = found == (version, mask) and reading_version(row) >= READING_VERSION
        return read and row["clip_fps"] == self.view.clips.fps(row)  # its preview plays as edits do

    def old_readings(self) -> list[str]:
        """Clips, by id, that an older version of the reader chose."""
        refused = {item_id for step, _, item_id in self.view.failures if step == "ingest"}
        return [
            video_id
            for video_id, row in self.view.videos.items()
            if reading_version(row) < READING_VERSION and video_id not in refused
        ]

    def manifest_captions(self) -> list[tuple[Row, str]]:
        """Video rows and prompts that the manifest gives and no row holds yet."""
        return [
            (self.view.videos[entry.video_id], entry.prompt)
            for entry in self.view.manifest.videos
            if entry.prompt is not None
            and entry.video_id in self.view.videos
            and entry.video_id not in self.view.captions
        ]

    def caption_items(self) -> list[CaptionItem]:
        """Videos that BLIP-2 has to describe."""
        captioner = self.view.clips.captioner
        items = []
        for entry in self.view.manifest.videos:
            row = self.view.videos.get(entry.video_id)
            if row is None or entry.prompt is not None or entry.video_id in self.view.captions:
                continue
            key = content_key(video_key=row["video_key"], captioner=captioner)
            if (attempt := self.attempt("caption", key, entry.video_id)) is not None:
                items.append(
                    CaptionItem(
                        item_key=key,
                        video_id=entry.video_id,
                        video_key=row["video_key"],
                        video_row=clip_reference(row),
                        captioner=captioner,
                        attempt=attempt,
                    )
                )
        return items


def check_read(state: State) -> None:
    """Raise UserError if clips are asked for that an older version of the reader chose."""
    old = [name for part in state.portions() for name in ClipPlan(part.first).old_readings()]
    if old:
        raise UserError(
            f"{len(old)} videos were ingested by version {READING_VERSION - 1} or older of the "
            f"reader ({old[0]} first), which read some kinds of sources otherwise: run `tav "
            "ingest` first, which decodes them once more and keeps all that still holds"
        )
