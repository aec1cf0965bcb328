"""The rows that count now: of all that a run holds, those that manifest and configuration ask for.

A run keeps the rows of earlier configurations and prompts. Everything here is arithmetic on keys;
nothing is computed and nothing is written.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass

from components.captioning.worth import fault
from components.config import RunConfig, VideoConfig
from components.errors import ItemError
from components.manifest.edits import VideoEntry, expand_edit
from components.manifest.load import Manifest
from components.records.keys import NUMERICS_VERSION, KeyMaker, content_key
from components.steps.caption import captioner_name
from components.steps.score import score_key
from components.steps.step import StepContext
from components.storage.store import Store
from components.storage.tables import Row, read_table
from components.video.selection import playing_fps
from eval.protocols import reads_frames

# What planning, status and reports read of each row; 100 000 whole rows would be a gigabyte.
VIDEO_COLUMNS = (
    *("uri", "source_version", "sha256", "num_frames", "fps", "frame_indices"),
    *("width", "height", "fit", "reading_version", "reading", "true_fps", "clip_fps"),
)
ADAPTER_COLUMNS = ("uri", "sha256", "final_loss")
EDIT_COLUMNS = (
    *("video_id", "source_prompt", "prompt", "category", "video_uri", "sha256"),
    "num_frames",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Revisions:
    """What the configured models are exactly: a hub commit or a folder's digest."""

    base: str
    caption: str
    score: str
    reader: str = ""
    """Of tinyworld's reader; empty where no protocol asks for it."""
    schedule: str = ""
    """What the base's own noise schedule asks of inversion and sampling and earlier versions did
    not honour. Its revision would name it, but says nothing of who honours what."""

    def of_protocol(self, protocol: str) -> str:
        """What judges under this protocol."""
        return self.reader if reads_frames(protocol) else self.score


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedEdit:
    """One edit of the manifest with its prompt filled in."""

    edit_id: str
    """``<video id>/<edit name>``."""
    edit_key: str
    prompt: str
    category: str
    problem: str | None = None
    """Why the template cannot be filled in; the edit then fails when its turn comes."""


def reading_version(row: Row) -> int:
    """The version of the reader that a ``videos`` row was written by; the first did not say so."""
    return row["reading_version"] or 1


class State:
    """One reading of the tables. Make a new one after each step."""

    def __init__(
        self,
        config: RunConfig,
        manifest: Manifest,
        store: Store,
        revisions: Revisions,
    ) -> None:
        self.config = config
        self.manifest = manifest
        self.revisions = revisions
        self.store = store

    def context(self) -> StepContext:
        """What workers are given."""
        return StepContext(
            config=self.config,
            config_hash=content_key(config=self.config),
            base_revision=self.revisions.base,
            caption_revision=self.revisions.caption,
            score_revision=self.revisions.score,
            reader_revision=self.revisions.reader,
        )

    def video_config(self, entry: VideoEntry) -> VideoConfig:
        """The run's video configuration with the manifest's overrides for one video."""
        if not entry.video:
            return self.config.video
        return dataclasses.replace(self.config.video, **entry.video)

    @functools.cached_property
    def videos(self) -> dict[str, Row]:
        """Ingested videos that are what the manifest and the configuration ask for, by id.

        Of a source that several versions of the reader read, the newest version's row counts.
        """
        found: dict[str, Row] = {}
        entries = {entry.video_id: entry for entry in self.manifest.videos}
        usual_key = KeyMaker(video=self.config.video)
        for row in read_table(self.store, "videos", VIDEO_COLUMNS):
            entry = entries.get(row["video_id"])
            if entry is None or row["uri"] != entry.uri:
                continue
            key = KeyMaker(video=self.video_config(entry)) if entry.video else usual_key
            how = {"reading": row["reading"]} if row["reading"] else {}
            if row["video_key"] != key(sha256=row["sha256"], **how):
                continue
            former = found.get(row["video_id"])
            if former is None or reading_version(row) >= reading_version(former):
                found[row["video_id"]] = row
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
        captioner = captioner_name(self.config.caption, self.revisions.caption)
        written = {
            (row["video_id"], row["video_key"], row["captioner"]): row["caption"]
            for row in read_table(self.store, "captions", ("caption",))
        }
        found = {}
        for entry in self.manifest.videos:
            if (video := self.videos.get(entry.video_id)) is None:
                continue
            name = captioner if entry.prompt is None else "manifest"
            caption = written.get((entry.video_id, video["video_key"], name))
            if caption is None or entry.prompt not in (None, caption):
                continue
            if entry.prompt is not None or fault(caption, self.config.caption.prompt) is None:
                found[entry.video_id] = caption
        return found

    @functools.cached_property
    def adapter_keys(self) -> dict[str, str]:
        """The key that each captioned video's adapter has or will have, by video id."""
        # Where the base model lies does not matter, only what it is: its revision stands for it.
        model = dataclasses.replace(self.config.model, base="-", revision=None)
        key = KeyMaker(
            kind="adapter",
            base_revision=self.revisions.base,
            model=model,
            tune=self.config.tune,
            seed=self.config.seed,
            numerics=NUMERICS_VERSION,
        )
        return {
            video_id: key(video_key=self.videos[video_id]["video_key"], source_prompt=caption)
            for video_id, caption in self.captions.items()
        }

    @functools.cached_property
    def inversion(self) -> str:
        """Names the inversion of this configuration, as in ``latents.inversion``."""
        invert, schedule = self.config.invert, self.revisions.schedule
        key = content_key(invert=invert, **({"schedule": schedule} if schedule else {}))
        return f"ddim-{invert.steps}-{key[:8]}"

    @functools.cached_property
    def adapters(self) -> dict[str, Row]:
        """Committed adapters of this configuration, by video id."""
        return {
            row["video_id"]: row
            for row in read_table(self.store, "adapters", ADAPTER_COLUMNS)
            if self.adapter_keys.get(row["video_id"]) == row["adapter_key"]
        }

    @functools.cached_property
    def latents(self) -> dict[str, Row]:
        """Inversions of this configuration, by video id, without the tensors themselves."""
        columns = ("video_id", "adapter_key", "inversion")
        return {
            row["video_id"]: row
            for row in read_table(self.store, "latents", columns, with_part=True)
            if row["inversion"] == self.inversion
            and self.adapter_keys.get(row["video_id"]) == row["adapter_key"]
        }

    @functools.cached_property
    def planned_edits(self) -> dict[str, PlannedEdit]:
        """Every edit of a captioned video, by edit id; templates need the caption."""
        planned = {}
        for entry in self.manifest.videos:
            if (caption := self.captions.get(entry.video_id)) is None:
                continue
            for edit in entry.edits:
                prompt, problem = "", None
                try:
                    prompt = expand_edit(edit, caption)
                except ItemError as error:
                    problem = str(error)
                edit_id = f"{entry.video_id}/{edit.name}"
                planned[edit_id] = PlannedEdit(
                    edit_id=edit_id,
                    edit_key=self._edit_key(
                        adapter_key=self.adapter_keys[entry.video_id], prompt=prompt or edit_id
                    ),
                    prompt=prompt,
                    category=edit.category,
                    problem=problem,
                )
        return planned

    @functools.cached_property
    def _edit_key(self) -> KeyMaker:
        return KeyMaker(
            kind="edit",
            inversion=self.inversion,
            sample=self.config.sample,
            output=self.config.output,
            seed=self.config.seed,
        )

    @functools.cached_property
    def edits(self) -> dict[str, Row]:
        """Sampled edits of this configuration, by edit id."""
        planned = self.planned_edits
        return {
            row["edit_id"]: row
            for row in read_table(self.store, "edits", EDIT_COLUMNS)
            if row["edit_id"] in planned and planned[row["edit_id"]].edit_key == row["edit_key"]
        }

    @functools.cached_property
    def scores(self) -> dict[tuple[str, str], Row]:
        """Scores of those edits under this configuration's protocols, by edit id and protocol."""
        found = {}
        for row in read_table(self.store, "scores", ()):
            edit = self.edits.get(row["edit_id"])
            protocol = row["protocol"]
            if edit is None or protocol not in self.config.score.protocols:
                continue
            if row["score_key"] == self.score_key(edit["edit_key"], protocol):
                found[row["edit_id"], protocol] = row
        return found

    def score_key(self, edit_key: str, protocol: str) -> str:
        """The key that an edit's scores under a protocol have or will have."""
        return score_key(edit_key, protocol, self.revisions.of_protocol(protocol))

    def selection(self) -> dict[str, set[str]]:
        """The edits and scores that count now, as the arguments of what shows them."""
        return {
            "edit_ids": set(self.edits),
            "edit_keys": {row["edit_key"] for row in self.edits.values()},
            "score_keys": {row["score_key"] for row in self.scores.values()},
        }

    @functools.cached_property
    def failures(self) -> dict[tuple[str, str, str], Row]:
        """The last failure of each (step, item key, edit or video id)."""
        return {
            (row["step"], row["item_key"], row["edit_id"] or row["video_id"]): row
            for row in read_table(self.store, "failures")
        }

    @functools.cached_property
    def open_failures(self) -> list[Row]:
        """Failures of work that is still asked for and still not done, the last of each item."""
        if not self.failures:
            return []
        captioner = captioner_name(self.config.caption, self.revisions.caption)
        undone: dict[str, set[tuple[str, str]]] = {
            "caption": {
                (content_key(video_key=row["video_key"], captioner=captioner), video_id)
                for video_id, row in self.videos.items()
                if video_id not in self.captions
            },
            "tune": {
                (key, video_id)
                for video_id, key in self.adapter_keys.items()
                if video_id not in self.adapters or video_id not in self.latents
            },
            "sample": {
                (planned.edit_key, edit_id)
                for edit_id, planned in self.planned_edits.items()
                if edit_id not in self.edits
            },
            "score": {
                (self.score_key(row["edit_key"], protocol), edit_id)
                for edit_id, row in self.edits.items()
                for protocol in self.config.score.protocols
                if (edit_id, protocol) not in self.scores
            },
        }
        asked = {entry.video_id for entry in self.manifest.videos}
        return [
            row
            for (step, key, item_id), row in self.failures.items()
            if (key, item_id) in undone.get(step, ())
            # The key of a reading holds the source's version, which no row of ours knows.
            or (step == "ingest" and item_id in asked and item_id not in self.videos)
        ]
