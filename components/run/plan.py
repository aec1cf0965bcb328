"""What a run still has to do: items without a row, as work for each step.

Everything here is arithmetic on keys, so `tav status` and a second `tav run` cost seconds and need
no Ray.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from components.controls.maker import FILES
from components.run.clip_plan import ClipPlan
from components.run.clips import clip_reference
from components.run.controlled import MapKey
from components.run.current import State
from components.run.tuning import StageId, stage_ids, tune_items
from components.run.view import PlannedEdit
from components.steps.control import ControlItem
from components.steps.editing import SampleItem, reading_key
from components.steps.preparation import PrepareItem
from components.steps.score import ScoreItem
from components.storage.tables import Row
from eval.protocols.registry import get_protocol
from methods.method import ADAPTER, EXACT, LATENTS

_NOTHING: Mapping[str, str] = MappingProxyType({})
READS_CLIPS = ("caption", "control", "tune", "sample", "score")
"""The steps that may read the sources again."""


def plan_items(
    state: State,
    step: str,
    versions: Mapping[str, str],
    *,
    retry_failed: bool = False,
    tried: Collection[StageId] = (),
) -> Iterator[Any]:
    """The items of a step, whichever variants they serve, of one portion after the other.

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
    # What is there is work again only where a source may have changed.
    for part in state.portions(unfinished=None if versions else step):
        yield from plan_portion(part, step, versions, tried, retry_failed=retry_failed)


def plan_portion(
    state: State,
    step: str,
    versions: Mapping[str, str],
    tried: Collection[StageId] = (),
    *,
    retry_failed: bool = False,
) -> list[Any]:
    """The items of one portion; see ``plan_items``."""
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


class Plan(ClipPlan):
    """The work of every step that one view of the tables leaves."""

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
        """See ``tuning.tune_items``."""
        return tune_items(self)

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

    def sample_after(
        self, item: PrepareItem, versions: Mapping[str, str] = _NOTHING
    ) -> SampleItem | None:
        """The edits of a video that can be made as soon as it is prepared.

        Args:
            item: What is to be prepared of it. The stages that it makes are in ``made`` without
                naming an object.
            versions: See ``plan_items``.

        Returns:
            None where the edits need more than that, or there are none.
        """
        view, video_id = self.view, item.video_id
        coming = [stage.row() for stage, _ in view.wanted(video_id)]
        if not coming or item.group or not all(row in item.wanted for row in coming):
            return None
        if video_id not in view.controlled.ready:
            return None
        entry = next(one for one in view.manifest.videos if one.video_id == video_id)
        planned = [view.planned_edits[f"{video_id}/{edit.name}"] for edit in entry.edits]
        if not (edits := [*self._edits(video_id, planned, versions)]):
            return None
        made = self._sample_item(video_id, edits)
        there = [row for row in made.made if row["kind"] != EXACT]
        return dataclasses.replace(made, made=[*there, *coming])

    def _sample_item(self, video_id: str, edits: list[Row]) -> SampleItem:
        row, stages = self.view.videos[video_id], self.view.stages[video_id]
        adapter = next((key.key for key in stages if key.kind == ADAPTER), None)
        own = [key.key for key in stages if key.kind not in (ADAPTER, LATENTS)]
        return SampleItem(
            video_id=video_id,
            video_key=row["video_key"],
            variant=self.view.name,
            video_row=clip_reference(row),
            fps=self.view.clips.fps(row),
            source_fps=row["fps"],
            source_prompt=self.view.captions[video_id],
            seed_key=self.view.seed_key(video_id),
            made=self.view.made(video_id),
            stages={
                "adapter_key": adapter,
                "inversion": self.view.inversion or None,
                "artefact_key": own[-1] if own else None,
            },
            controls=self.view.controlled.items(video_id),
            mask=self.view.controlled.mask_item(video_id),
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
