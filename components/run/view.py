"""The rows that count for one variant: of all that a run holds, those that it asks for.

A run keeps the rows of earlier configurations and prompts. Everything here is arithmetic on keys;
nothing is computed and nothing is written.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.config import RunConfig
from components.controls.maker import MASK
from components.errors import ItemError
from components.manifest.edits import expand_edit
from components.manifest.load import Manifest
from components.records.keys import content_key
from components.results.scored import Selection
from components.run.clips import Clips
from components.run.controlled import Controlled
from components.run.groups import Group, groups_of
from components.run.stages import EditKeys, StageKey, StageKeys
from components.run.tables import Tables
from components.steps.editing import given_key
from components.steps.methods import answering, make_method
from components.steps.score import judges_revision, score_key
from components.storage.tables import Row
from eval.protocols.evidence import CLIP, READER
from methods.method import ADAPTER, EXACT, Method


@dataclass(frozen=True, kw_only=True, slots=True)
class Revisions:
    """What the configured models are exactly: a hub commit or a folder's digest."""

    base: str
    """Empty where the method uses none."""
    caption: str
    score: str
    reader: str = ""
    """Of tinyworld's reader; empty where no protocol asks for it."""
    judges: Mapping[str, str] = field(default_factory=dict)
    """Likewise of judges of ``eval.judges`` that protocols ask for, by name."""
    schedule: str = ""
    """What the base's own noise schedule asks of inversion and sampling and earlier versions did
    not honour. Its revision would name it, but says nothing of who honours what."""
    models: Mapping[str, str] = field(default_factory=dict)
    """Of the models that the method's section names, by field."""
    controls: Mapping[str, str] = field(default_factory=dict)
    """Of nets that steer edits and of what makes their maps, by ``controls.maker.model_name``."""

    def of_protocol(self, protocol: str) -> str:
        """What judges under this protocol."""
        revisions = {CLIP: self.score, READER: self.reader, **self.judges}
        return judges_revision(protocol, revisions)


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
    given: str | None = None
    """Address of the finished video that it is read from."""


class View:
    """One variant's share of one reading of the tables."""

    def __init__(
        self, name: str, config: RunConfig, clips: Clips, tables: Tables, revisions: Revisions
    ) -> None:
        """Look at a variant.

        Args:
            name: The variant's.
            config: The variant's whole configuration.
            clips: What all variants share.
            tables: One reading of the run.
            revisions: The variant's models.

        Raises:
            UserError: the variant's method is not installed, or refuses its settings.
        """
        self.name = name
        self.config = config
        self.clips = clips
        self.tables = tables
        self.revisions = revisions
        self.method: Method = make_method(config, revisions.base, revisions.models)
        self.controlled = Controlled(config, clips, tables, dict(revisions.controls))
        with answering(config.method):
            self._stage_keys = StageKeys(self.method, config, revisions.base, revisions.schedule)
            self._edit_keys = EditKeys(self.method, config, revisions.base, self.inversion)

    @property
    def manifest(self) -> Manifest:
        """What to edit."""
        return self.clips.manifest

    @property
    def videos(self) -> dict[str, Row]:
        """See ``Clips.videos``."""
        return self.clips.videos

    @property
    def captions(self) -> dict[str, str]:
        """See ``Clips.captions``."""
        return self.clips.captions

    @property
    def inversion(self) -> str:
        """Names the inversion of this configuration, as in ``latents.inversion``."""
        return self._stage_keys.inversion

    @functools.cached_property
    def groups(self) -> dict[str, Group]:
        """The groups of videos that are tuned together, by the ids of their videos."""
        if not self._stage_keys.groups:
            return {}
        parts = {
            video_id: self._stage_keys.member(
                self.videos[video_id]["video_key"], caption, self.controlled.parts(video_id)
            )
            for video_id, caption in self.captions.items()
        }
        return groups_of(self.manifest.videos, parts)

    @functools.cached_property
    def stages(self) -> dict[str, tuple[StageKey, ...]]:
        """The stages of each captioned video by its id, in order."""
        return {
            video_id: self._stage_keys(
                self.videos[video_id]["video_key"],
                caption,
                self.given_mask(video_id),
                self.controlled.parts(video_id),
                self.groups[video_id].parts if video_id in self.groups else (),
            )
            for video_id, caption in self.captions.items()
        }

    def seed_key(self, video_id: str) -> str:
        """What draws for a captioned video are seeded with, beside the run's seed."""
        clip: str = self.videos[video_id]["video_key"]
        if not (stages := self.stages[video_id]):
            return clip
        if video_id in self.groups:  # each of its videos has noise of its own
            return content_key(adapter=stages[0].seed_key, video_key=clip)
        return stages[0].seed_key

    @property
    def tunes_with_control(self) -> bool:
        """Whether control maps are needed for tuning, too: of what steers it, or SAM 2's masks."""
        if self.controlled.masks and self.method.uses_mask:
            return True
        return self.config.control.tune and ADAPTER in {s.kind for s in self._stage_keys.stages}

    @property
    def prepares(self) -> bool:
        """Whether anything is kept of each video."""
        return any(stage.kept for stage in self._stage_keys.stages)

    def wanted(self, video_id: str) -> list[tuple[StageKey, bool]]:
        """The stages of a captioned video that are kept and not there, and whether each is long."""
        return [
            # What is there without its form is brought into it in seconds.
            (key, stage.long and self._row(video_id, key, key.exact) is None)
            for key, stage in self._kept(video_id)
            if self._row(video_id, key, key.key) is None
        ]

    def made(self, video_id: str) -> list[Row]:
        """What is there of a captioned video's stages (see ``PrepareItem.made``)."""
        found = []
        for key, _ in self._kept(video_id):
            row = self._row(video_id, key, key.key)
            found += [] if row is None else [key.row() | row]
            if row is None and key.exact:
                row = self._row(video_id, key, key.exact)
                exact = {"kind": EXACT, "key": key.exact}
                found += [] if row is None else [key.row() | exact | row]
        return found

    def _row(self, video_id: str, stage: StageKey, key: str) -> Row | None:
        """A stage's row by its key, or that of its exact form; a group's is its first video's."""
        shared = stage.kind == ADAPTER and video_id in self.groups
        owner = self.groups[video_id].owner if shared else video_id
        return self.tables.made.get((owner, stage.kind, key, stage.name))

    def _kept(self, video_id: str) -> list[tuple[StageKey, Any]]:
        pairs = zip(self.stages[video_id], self._stage_keys.stages, strict=True)
        return [(key, stage) for key, stage in pairs if stage.kept]

    @functools.cached_property
    def prepared(self) -> set[str]:
        """Captioned videos that edits can be made of, by id."""
        return {video_id for video_id in self.stages if not self.wanted(video_id)}

    @functools.cached_property
    def adapter_keys(self) -> dict[str, str]:
        """The key that each captioned video's adapter has or would have, by video id."""
        return {
            video_id: key.key
            for video_id, keys in self.stages.items()
            for key in keys
            if key.kind == ADAPTER
        }

    @functools.cached_property
    def planned_edits(self) -> dict[str, PlannedEdit]:
        """Every edit of a captioned video, by edit id; templates need the caption."""
        planned = {}
        for entry in self.manifest.videos:
            if (caption := self.captions.get(entry.video_id)) is None:
                continue
            stages, row = self.stages[entry.video_id], self.videos[entry.video_id]
            clip, mask = row["video_key"], self.given_mask(entry.video_id)
            controls = self.controlled.parts(entry.video_id)
            for edit in entry.edits:
                prompt, problem = "", None
                try:
                    prompt = expand_edit(edit, caption)
                except ItemError as error:
                    problem = str(error)
                edit_id = f"{entry.video_id}/{edit.name}"
                planned[edit_id] = PlannedEdit(
                    edit_id=edit_id,
                    edit_key=self._edit_keys(
                        *(stages, clip, caption, prompt or edit_id, mask, controls),
                        grouped=entry.video_id in self.groups,
                    ),
                    prompt=prompt,
                    category=edit.category,
                    problem=problem,
                    given=self.method.address(entry.video_id, edit.name),
                )
        return planned

    @functools.cached_property
    def edits(self) -> dict[str, Row]:
        """Edits of this variant that are there, by edit id."""
        found = {}
        for edit_id, planned in self.planned_edits.items():
            if planned.given is None:
                row = self.tables.edits.get((edit_id, planned.edit_key))
            else:
                row = self._given(edit_id, planned)
            if row is not None:
                found[edit_id] = row
        return found

    def _given(self, edit_id: str, planned: PlannedEdit) -> Row | None:
        """The latest reading of a finished video, whose content is part of the edit's key."""
        rows = [
            row
            for row in self.tables.given.get(edit_id, ())
            if row["edit_key"] == given_key(planned.edit_key, row["given_sha256"])
        ]
        return max(rows, key=lambda row: row["created_at"], default=None)

    @functools.cached_property
    def scores(self) -> dict[tuple[str, str], Row]:
        """Scores of those edits under the run's protocols, by edit id and protocol."""
        found = {}
        for edit_id, edit in self.edits.items():
            for protocol in self.config.score.protocols:
                key = self.score_key(edit["edit_key"], protocol, self.mask(edit["video_id"]))
                if (row := self.tables.scores.get((edit_id, protocol, key))) is not None:
                    found[edit_id, protocol] = row
        return found

    def score_key(self, edit_key: str, protocol: str, mask: str | None = None) -> str:
        """The key that an edit's scores under a protocol have or will have (see ``score_key``)."""
        return score_key(edit_key, protocol, self.revisions.of_protocol(protocol), mask)

    def mask(self, video_id: str) -> str | None:
        """SHA-256 of a video's mask; none where it has none."""
        found: str | None = self.videos[video_id]["mask_sha256"]
        return found

    def given_mask(self, video_id: str) -> str | None:
        """What keys hold of the mask that the method may ask for: its content, or SAM 2's key."""
        if self.controlled.masks:
            return self.controlled.mask_key(video_id)
        return self.mask(video_id)

    def selection(self) -> Selection:
        """The edits and scores that count now, for what shows them."""
        return Selection(
            edit_ids=set(self.edits),
            edit_keys={row["edit_key"] for row in self.edits.values()},
            score_keys={row["score_key"] for row in self.scores.values()},
        )

    def signature(self, step: str) -> Any:
        """What a step's work is, whatever the video: equal for variants that share all of it."""
        if step == "control":
            return self.controlled.makers()
        nets = self.controlled.signature()
        mask = self.controlled.maker(MASK) if self.controlled.masks else None
        if step == "tune":
            return self._stage_keys.signature([{"nets": nets}] if nets != [""] else [], mask)
        if step in ("sample", "score"):
            return self._edit_keys(self._stage_keys("", "", mask), "", "", "", mask), tuple(nets)
        return None

    @functools.cached_property
    def failures(self) -> dict[tuple[str, ...], Row]:
        """The last failure of each (step, item key, edit or video id)."""
        return self.tables.failures
