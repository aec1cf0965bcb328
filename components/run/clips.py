"""The clips of a run with their captions: what all variants share."""

from __future__ import annotations

import dataclasses
import functools

from components.captioning.worth import fault
from components.config import RunConfig, VideoConfig
from components.manifest.edits import VideoEntry
from components.manifest.load import Manifest
from components.records.keys import KeyMaker
from components.run.tables import Tables
from components.steps.caption import captioner_name
from components.storage.tables import Row
from components.video.selection import playing_fps

_WITHOUT_MASK: Row = dict.fromkeys(("mask_uri", "mask_version", "mask_sha256"))


def reading_version(row: Row) -> int:
    """The version of the reader that a ``videos`` row was written by; the first did not say so."""
    return row["reading_version"] or 1


def clip_reference(row: Row) -> Row:
    """The columns of a ``videos`` row that lead back to the clip's frames, as JSON values."""
    names = ("video_id", "video_key", "uri", "sha256", "num_frames", "width", "height", "fit")
    others = ("fps", "frame_indices", "mask_uri", "mask_sha256")
    return {name: row[name] for name in (*names, *others)}


class Clips:
    """Of all clips that a run holds, those that manifest and configuration ask for."""

    def __init__(
        self, config: RunConfig, manifest: Manifest, tables: Tables, caption_revision: str
    ) -> None:
        self.config = config
        self.manifest = manifest
        self._tables = tables
        self.captioner = captioner_name(config.caption, caption_revision)

    def video_config(self, entry: VideoEntry) -> VideoConfig:
        """The run's video configuration with the manifest's overrides for one video."""
        if not entry.video:
            return self.config.video
        return dataclasses.replace(self.config.video, **entry.video)

    @functools.cached_property
    def videos(self) -> dict[str, Row]:
        """Ingested videos that are what the manifest and the configuration ask for, by id.

        Of a source that several versions of the reader read, the newest version's row counts. A
        row that was read without the mask that is asked for does not; one that was read with a mask
        counts without it where none is.
        """
        found: dict[str, Row] = {}
        entries = {entry.video_id: entry for entry in self.manifest.videos}
        usual_key = KeyMaker(video=self.config.video)
        for row in self._tables.videos:
            entry = entries.get(row["video_id"])
            if entry is None or row["uri"] != entry.uri:
                continue
            if entry.mask is not None and row["mask_uri"] != entry.mask:
                continue
            key = KeyMaker(video=self.video_config(entry)) if entry.video else usual_key
            how = {"reading": row["reading"]} if row["reading"] else {}
            if row["video_key"] != key(sha256=row["sha256"], **how):
                continue
            former = found.get(row["video_id"])
            if former is None or reading_version(row) >= reading_version(former):
                bare = entry.mask is None and row["mask_uri"] is not None
                found[row["video_id"]] = row | _WITHOUT_MASK if bare else row
        return found

    def fps(self, row: Row) -> float:
        """The rate at which the clip of a ``videos`` row and its edits play."""
        return playing_fps(self.config.output, row["fps"], row["true_fps"])

    @functools.cached_property
    def captions(self) -> dict[str, str]:
        """Source prompts by video id: the manifest's own, else BLIP-2's.

        Captions of older releases that say nothing are left out, so that nothing is tuned on them:
        the video is captioned once more, and then fails with the caption's text.
        """
        found = {}
        for entry in self.manifest.videos:
            if (video := self.videos.get(entry.video_id)) is None:
                continue
            name = self.captioner if entry.prompt is None else "manifest"
            caption = self._tables.captions.get((entry.video_id, video["video_key"], name))
            if caption is None or entry.prompt not in (None, caption):
                continue
            if entry.prompt is not None or fault(caption, self.config.caption.prompt) is None:
                found[entry.video_id] = caption
        return found
