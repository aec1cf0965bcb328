"""What a run still has to do: items without a row, as work for each step.

Everything here is arithmetic on keys, so `tav status` and a second `tav run` cost seconds and need
no Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from components.config import VideoConfig
from components.controls.maker import FILES
from components.errors import UserError
from components.manifest.edits import VideoEntry
from components.records.keys import content_key
from components.run.clips import reading_version
from components.run.controlled import MapKey
from components.run.current import State
from components.run.view import PlannedEdit, View
from components.steps.caption import CaptionItem
from components.steps.control import ControlItem
from components.steps.editing import SampleItem, reading_key
from components.steps.ingest import IngestItem
from components.steps.preparation import PrepareItem
from components.steps.score import ScoreItem
from components.storage.tables import Row
from components.video.read import READING_VERSION
from eval.protocols.registry import get_protocol
from methods.method import ADAPTER, LATENTS

_NOTHING: Mapping[str, str] = MappingProxyType({})
READS_CLIPS = ("caption", "control", "tune", "sample", "score")
"""The steps that may read the sources again."""


TUNED = (ADAPTER, LATENTS)
"""Kinds of stages whose tables are their own."""


StageId = tuple[str, str]
"""A video's id and the key of a stage's work."""


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


def clip_reference(row: Row) -> Row:
    """The columns of a ``videos`` row that lead back to the clip's frames, as JSON values."""
    names = ("video_id", "video_key", "uri", "sha256", "num_frames", "width", "height", "fit")
    others = ("fps", "frame_indices", "mask_uri", "mask_sha256")
    return {name: row[name] for name in (*names, *others)}


def plan_items(
    state: State,
    step: str,
    versions: Mapping[str, str],
    *,
    retry_failed: bool = False,
    tried: Collection[StageId] = (),
) -> list[Any]:
    """The items of a step, whichever variants they serve.

    Of what two variants need alike in part, such as an adapter that each inverts in another way,
    the second is left for when the first is there: ask again, with what was tried, until there is
    no item.

    Args:
        state: One reading of the tables.
        step: By name.
        versions: Of each source by address (see ``sources``): for ingest the manifest's videos, for
            sample the finished videos that edits are read from. What is absent is not asked for.
        retry_failed: Also what failed for good.
        tried: Stages of the tune step that are not asked for.
    """
    found: list[Any] = []
    taken = set(tried)
    for view in state.distinct(step):
        for item in Plan(view, retry_failed=retry_failed).items(step, versions):
            if step == "tune":
                stages = stage_ids(item)
                if taken & stages:
                    continue
                taken |= stages
            if step == "control":
                if (one := (item.video_id, item.item_key)) in taken:
                    continue
                taken.add(one)
            found.append(item)
    if step == "control":  # a worker holds one model at a time
        found.sort(key=lambda item: item.maker)
    return found


def stage_ids(item: PrepareItem) -> set[StageId]:
    """The stages that an item does."""
    return {(item.video_id, row["work_key"]) for row in item.wanted}


class Plan:
    """The work that one view of the tables leaves."""

    def __init__(self, view: View, *, retry_failed: bool = False) -> None:
        self.view = view
        self._retry_failed = retry_failed

    def items(self, step: str, versions: Mapping[str, str]) -> list[Any]:
        """The items of a step by its name."""
        if step == "ingest":
            return self.ingest_items(versions)
        if step == "sample":
            return self.sample_items(versions)
        if step == "control":
            return self.control_items(versions)
        work: dict[str, Callable[[], list[Any]]] = {
            "caption": self.caption_items,
            "tune": self.tune_items,
            "score": self.score_items,
        }
        return work[step]()

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
            for row in self.view.open_failures
        )

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

    def check_read(self) -> None:
        """Raise UserError if clips are asked for that an older version of the reader chose."""
        refused = {item_id for step, _, item_id in self.view.failures if step == "ingest"}
        old = [
            video_id
            for video_id, row in self.view.videos.items()
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

    def control_items(self, versions: Mapping[str, str] = _NOTHING) -> list[ControlItem]:
        """Maps to be made or read; see ``plan_items``."""
        controlled, items = self.view.controlled, []
        for video_id, maps in controlled.maps.items():
            there = controlled.rows(video_id)
            for kind, one in maps.items():
                row, key, version = there.get(kind), one.work_key, None
                if kind == FILES:
                    # Without an address there is none to ask: the worker says so.
                    address = controlled.addresses[video_id] or ""
                    version = versions.get(address, "" if not address else None)
                    if version is None:
                        continue
                    key = reading_key(one.work_key, version)
                    row = row if row is not None and row["source_version"] == version else None
                attempt = self.attempt("control", key, video_id)
                if row is None and attempt is not None:
                    items.append(self._control_item(video_id, one, key, version, attempt))
        return items

    def _control_item(
        self, video_id: str, one: MapKey, key: str, version: str | None, attempt: int
    ) -> ControlItem:
        row = self.view.videos[video_id]
        size = {name: row[f"source_{name}"] for name in ("frames", "width", "height")}
        return ControlItem(
            item_key=key,
            video_id=video_id,
            video_key=row["video_key"],
            variant=self.view.name,
            video_row=clip_reference(row) | {f"source_{name}": n for name, n in size.items()},
            fps=self.view.clips.fps(row),
            map=one.map,
            maker=one.maker,
            source_uri=self.view.controlled.addresses[video_id] if one.map == FILES else None,
            source_version=version,
            attempt=attempt,
        )

    def tune_items(self) -> list[PrepareItem]:
        """Videos to prepare, or to go on with where the first stages are there."""
        items = []
        for video_id, stages in self.view.stages.items():
            if not (wanted := self.view.wanted(video_id)):
                continue
            if self.view.tunes_with_control and video_id not in self.view.controlled.ready:
                continue
            key = wanted[0][0].work_key
            if (attempt := self.attempt("tune", key, video_id)) is not None:
                items.append(
                    PrepareItem(
                        item_key=key,
                        video_id=video_id,
                        variant=self.view.name,
                        video_row=clip_reference(self.view.videos[video_id]),
                        source_prompt=self.view.captions[video_id],
                        seed_key=stages[0].seed_key,
                        wanted=[one.row() for one, _ in wanted],
                        made=self.view.made(video_id),
                        controls=self.view.controlled.items(video_id)
                        if self.view.tunes_with_control
                        else [],
                        long=any(long for _, long in wanted),
                        attempt=attempt,
                    )
                )
        return items

    def sample_items(self, versions: Mapping[str, str] = _NOTHING) -> list[SampleItem]:
        """Videos with the edits that are still to be made of each; see ``plan_items``."""
        items = []
        for entry in self.view.manifest.videos:
            video_id = entry.video_id
            if video_id not in self.view.prepared or video_id not in self.view.controlled.ready:
                continue
            planned = [self.view.planned_edits[f"{video_id}/{edit.name}"] for edit in entry.edits]
            if edits := [*self._edits(video_id, planned, versions)]:
                items.append(self._sample_item(video_id, edits))
        # A worker reads a part once for all the videos in it.
        return sorted(items, key=lambda item: max(row.get("part", "") for row in [*item.made, {}]))

    def _sample_item(self, video_id: str, edits: list[Row]) -> SampleItem:
        row, stages = self.view.videos[video_id], self.view.stages[video_id]
        adapter = next((key.key for key in stages if key.kind == ADAPTER), None)
        own = [key.key for key in stages if key.kind not in TUNED]
        return SampleItem(
            video_id=video_id,
            video_key=row["video_key"],
            variant=self.view.name,
            video_row=clip_reference(row),
            fps=self.view.clips.fps(row),
            source_fps=row["fps"],
            source_prompt=self.view.captions[video_id],
            seed_key=stages[0].seed_key if stages else row["video_key"],
            made=self.view.made(video_id),
            stages={
                "adapter_key": adapter,
                "inversion": self.view.inversion or None,
                "artefact_key": own[-1] if own else None,
            },
            controls=self.view.controlled.items(video_id),
            edits=edits,
        )

    def _edits(
        self, video_id: str, planned: list[PlannedEdit], versions: Mapping[str, str]
    ) -> Iterator[Row]:
        """Those that are to be made, as fields of ``EditWork``."""
        for one in planned:
            row = self.view.edits.get(one.edit_id)
            given, key = None, one.edit_key
            if one.given is not None:
                if (version := versions.get(one.given)) is None:
                    continue
                given = {"uri": one.given, "version": version, "edit_key": one.edit_key}
                key = reading_key(one.edit_key, version)
                row = row if row is not None and row["given_version"] == version else None
            attempt = self.attempt("sample", key, one.edit_id)
            if row is None and attempt is not None:
                yield {
                    "item_key": key,
                    "edit_id": one.edit_id,
                    "video_id": video_id,
                    "prompt": one.prompt,
                    "category": one.category,
                    "problem": one.problem,
                    "given": given,
                    "attempt": attempt,
                }

    def score_items(self) -> list[ScoreItem]:
        """Edits and protocols without a score; the protocols of one edit stand together."""
        items = []
        for edit_id, row in self.view.edits.items():
            for protocol in self.view.config.score.protocols:
                if (edit_id, protocol) in self.view.scores:
                    continue
                mask = self.view.mask(row["video_id"])
                key = self.view.score_key(row["edit_key"], protocol, mask)
                if (attempt := self.attempt("score", key, edit_id)) is None:
                    continue
                items.append(
                    ScoreItem(
                        item_key=key,
                        video_id=row["video_id"],
                        edit_id=edit_id,
                        edit_key=row["edit_key"],
                        method=row["method"],
                        prompt=row["prompt"],
                        category=row["category"],
                        video_uri=row["video_uri"],
                        sha256=row["sha256"],
                        protocol=protocol,
                        source=self._source(row) if get_protocol(protocol).reads_source else None,
                        attempt=attempt,
                    )
                )
        return items

    def _source(self, edit: Row) -> Row:
        """The clip that an edit was made from, with its prompt."""
        video = clip_reference(self.view.videos[edit["video_id"]])
        return video | {"source_prompt": edit["source_prompt"]}
