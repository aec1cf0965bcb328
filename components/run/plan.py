"""What a run still has to do: items without a row, as work for each step.

Everything here is arithmetic on keys, so `tav status` and a second `tav run` cost seconds and need
no Ray.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from components.config import VideoConfig
from components.errors import UserError
from components.manifest.edits import VideoEntry
from components.records.keys import content_key
from components.run.current import State, reading_version
from components.steps.caption import CaptionItem, captioner_name
from components.steps.ingest import IngestItem
from components.steps.sample import SampleItem
from components.steps.score import ScoreItem
from components.steps.tune import TuneItem
from components.storage.tables import Row
from components.video.read import READING_VERSION
from eval.protocols import reads_frames

READS_CLIPS = ("caption", "tune", "score")
"""The steps that may read the sources again."""


def ingest_key(entry: VideoEntry, version: str, video: VideoConfig) -> str:
    """Content key of reading one version of one source."""
    # With the limits, which are in no key of a result: what failed for one is tried under another.
    limits = asdict(video.limits)
    return content_key(
        video_id=entry.video_id,
        uri=entry.uri,
        version=version,
        video=video,
        limits=limits,
        reading_version=READING_VERSION,  # what one version refuses another may read
    )


def clip_reference(row: Row) -> Row:
    """The columns of a ``videos`` row that lead back to the clip's frames, as JSON values."""
    names = ("video_id", "video_key", "uri", "sha256", "num_frames", "width", "height", "fit")
    return {name: row[name] for name in (*names, "fps", "frame_indices")}


def adapter_reference(row: Row) -> Row:
    """The columns of an ``adapters`` row that name its object, as JSON values."""
    return {name: row[name] for name in ("adapter_key", "uri", "sha256")}


class Plan:
    """The work that one reading of the tables leaves."""

    def __init__(self, state: State, *, retry_failed: bool = False) -> None:
        self.state = state
        self._retry_failed = retry_failed

    def items(self, step: str, versions: dict[str, str]) -> list[Any]:
        """The items of a step by its name."""
        if step == "ingest":
            return self.ingest_items(versions)
        work: dict[str, Callable[[], list[Any]]] = {
            "caption": self.caption_items,
            "tune": self.tune_items,
            "sample": self.sample_items,
            "score": self.score_items,
        }
        return work[step]()

    def attempt(self, step: str, item_key: str, item_id: str) -> int | None:
        """Which try comes next, or none when the item has failed for good."""
        failure = self.state.failures.get((step, item_key, item_id))
        if failure is None:
            return 1
        attempt = int(failure["attempt"]) + 1
        again = failure["retryable"] and attempt <= self.state.config.max_attempts
        return attempt if again or self._retry_failed else None

    def retries(self, step: str) -> int:
        """How many items of a step failed for a passing reason and have attempts left."""
        return sum(
            row["step"] == step
            and row["retryable"]
            and row["attempt"] < self.state.config.max_attempts
            for row in self.state.open_failures
        )

    def ingest_items(self, versions: dict[str, str]) -> list[IngestItem]:
        """Videos to read.

        Args:
            versions: The current version of each source by video id (see ``sources``); a video
                that is absent here is not asked for.
        """
        items = []
        for entry in self.state.manifest.videos:
            version = versions.get(entry.video_id)
            row = self.state.videos.get(entry.video_id)
            if version is None or (row is not None and self._is_read(row, version)):
                continue
            video = self.state.video_config(entry)
            key = ingest_key(entry, version, video)
            if (attempt := self.attempt("ingest", key, entry.video_id)) is not None:
                items.append(
                    IngestItem(
                        item_key=key,
                        video_id=entry.video_id,
                        uri=entry.uri,
                        source_version=version,
                        video=asdict(video),
                        attempt=attempt,
                    )
                )
        return items

    def _is_read(self, row: Row, version: str) -> bool:
        read = row["source_version"] == version and reading_version(row) >= READING_VERSION
        return read and row["clip_fps"] == self.state.fps(row)  # its preview plays as edits do

    def check_read(self) -> None:
        """Raise UserError if clips are asked for that an older version of the reader chose."""
        refused = {item_id for step, _, item_id in self.state.failures if step == "ingest"}
        old = [
            video_id
            for video_id, row in self.state.videos.items()
            if reading_version(row) < READING_VERSION and video_id not in refused
        ]
        if old:
            raise UserError(
                f"{len(old)} videos were ingested by version {READING_VERSION - 1} or older of the "
                f"reader ({old[0]} first), which read some kinds of sources otherwise: run `tav "
                "ingest` first, which decodes them once more and keeps all that still holds"
            )

    def manifest_captions(self) -> list[tuple[Row, str]]:
        """Video rows and prompts that the manifest gives and no row holds yet."""
        return [
            (self.state.videos[entry.video_id], entry.prompt)
            for entry in self.state.manifest.videos
            if entry.prompt is not None
            and entry.video_id in self.state.videos
            and entry.video_id not in self.state.captions
        ]

    def caption_items(self) -> list[CaptionItem]:
        """Videos that BLIP-2 has to describe."""
        captioner = captioner_name(self.state.config.caption, self.state.revisions.caption)
        items = []
        for entry in self.state.manifest.videos:
            row = self.state.videos.get(entry.video_id)
            if row is None or entry.prompt is not None or entry.video_id in self.state.captions:
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

    def tune_items(self) -> list[TuneItem]:
        """Videos to tune and invert, or only to invert when their adapter is there."""
        items = []
        for video_id, key in self.state.adapter_keys.items():
            if video_id in self.state.adapters and video_id in self.state.latents:
                continue
            adapter = self.state.adapters.get(video_id)
            if (attempt := self.attempt("tune", key, video_id)) is not None:
                items.append(
                    TuneItem(
                        item_key=key,
                        video_id=video_id,
                        video_row=clip_reference(self.state.videos[video_id]),
                        source_prompt=self.state.captions[video_id],
                        inversion=self.state.inversion,
                        adapter=adapter_reference(adapter) if adapter else None,
                        attempt=attempt,
                    )
                )
        return items

    def sample_items(self) -> list[SampleItem]:
        """Adapters with the edits that are still to be sampled from each."""
        items = []
        for entry in self.state.manifest.videos:
            video_id = entry.video_id
            if video_id not in self.state.adapters or video_id not in self.state.latents:
                continue
            edits = []
            for edit in entry.edits:
                planned = self.state.planned_edits[f"{video_id}/{edit.name}"]
                if planned.edit_id in self.state.edits:
                    continue
                attempt = self.attempt("sample", planned.edit_key, planned.edit_id)
                if attempt is not None:
                    edits.append(
                        {
                            "item_key": planned.edit_key,
                            "edit_id": planned.edit_id,
                            "video_id": video_id,
                            "prompt": planned.prompt,
                            "category": planned.category,
                            "problem": planned.problem,
                            "attempt": attempt,
                        }
                    )
            if edits:
                items.append(
                    SampleItem(
                        video_id=video_id,
                        video_key=self.state.videos[video_id]["video_key"],
                        fps=self.state.fps(self.state.videos[video_id]),
                        source_fps=self.state.videos[video_id]["fps"],
                        source_prompt=self.state.captions[video_id],
                        adapter=adapter_reference(self.state.adapters[video_id]),
                        inversion=self.state.inversion,
                        latents_part=self.state.latents[video_id]["part"],
                        edits=edits,
                    )
                )
        # A worker reads a part once for all the videos in it.
        return sorted(items, key=lambda item: item.latents_part)

    def score_items(self) -> list[ScoreItem]:
        """Edits and protocols without a score; the protocols of one edit stand together."""
        items = []
        for edit_id, row in self.state.edits.items():
            for protocol in self.state.config.score.protocols:
                if (edit_id, protocol) in self.state.scores:
                    continue
                key = self.state.score_key(row["edit_key"], protocol)
                if (attempt := self.attempt("score", key, edit_id)) is None:
                    continue
                items.append(
                    ScoreItem(
                        item_key=key,
                        video_id=row["video_id"],
                        edit_id=edit_id,
                        edit_key=row["edit_key"],
                        prompt=row["prompt"],
                        category=row["category"],
                        video_uri=row["video_uri"],
                        sha256=row["sha256"],
                        protocol=protocol,
                        source=self._source(row) if reads_frames(protocol) else None,
                        attempt=attempt,
                    )
                )
        return items

    def _source(self, edit: Row) -> Row:
        """The clip that an edit was made from, with its prompt."""
        video = clip_reference(self.state.videos[edit["video_id"]])
        return video | {"source_prompt": edit["source_prompt"]}
