"""Where a run stands, from its tables alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.run.undone import open_failures
from components.run.view import View
from components.steps import STEPS
from components.storage.tables import Row


@dataclass(frozen=True, slots=True)
class StepStatus:
    """One step's items: videos, edits, or edits × protocols."""

    total: int
    done: int
    failed: int
    """Failed here for good, or waiting for something that did."""

    @property
    def left(self) -> int:
        """Items still to be computed."""
        return self.total - self.done - self.failed

    @property
    def complete(self) -> bool:
        """Whether all items are done."""
        return self.done == self.total


@dataclass(frozen=True, slots=True)
class Status:
    """A run at one moment."""

    steps: dict[str, StepStatus]
    """By step name, in order."""
    failed_items: int
    """Videos and edits that failed."""
    items: int = 0
    """All videos and edits that count there."""
    variants: Mapping[str, Status] = field(default_factory=dict)
    """Of each variant alone, where there are several."""

    @property
    def failed_fraction(self) -> float:
        """Failed videos and edits over all; what the exit code is about."""
        return self.failed_items / max(self.items, 1)

    def document(self) -> dict[str, Any]:
        """The same as JSON values, with what is left of each step."""
        steps = {
            name: dataclasses.asdict(step) | {"left": step.left}
            for name, step in self.steps.items()
        }
        found: dict[str, Any] = {"failed_fraction": self.failed_fraction, "steps": steps}
        if self.variants:
            found["variants"] = {name: one.document() for name, one in self.variants.items()}
        return found


def portion_status(views: Sequence[View], distinct: Callable[[str], Sequence[View]]) -> Status:
    """Count what is done, failed and left in each step of one portion of a run.

    An item that waits for a failed one counts as failed too.

    Args:
        views: Of each variant.
        distinct: Those that differ in a step.
    """
    counts = {view.name: view_status(view) for view in views}
    steps = {
        step: _total([counts[view.name].steps[step] for view in distinct(step)]) for step in STEPS
    }
    shown = [counts[view.name] for view in distinct("sample")]
    items = sum(one.items for one in shown)
    failed = sum(one.failed_items for one in shown)
    return Status(steps, failed, items, {} if len(counts) == 1 else counts)


def total_status(parts: Sequence[Status]) -> Status:
    """A run's status from those of all its portions, of which there is at least one."""
    return Status(
        {step: _total([one.steps[step] for one in parts]) for step in parts[0].steps},
        sum(one.failed_items for one in parts),
        sum(one.items for one in parts),
        {name: total_status([one.variants[name] for one in parts]) for name in parts[0].variants},
    )


def _total(found: Sequence[StepStatus]) -> StepStatus:
    return StepStatus(
        sum(one.total for one in found),
        sum(one.done for one in found),
        sum(one.failed for one in found),
    )


def view_status(view: View) -> Status:
    """The same of one variant alone."""
    failures = open_failures(view)
    failed = {(row["step"], row["edit_id"] or row["video_id"]) for row in failures}
    entries = view.manifest.videos
    lost: set[str] = set()
    steps = {}
    done_videos: dict[str, Collection[str]] = {
        "ingest": view.videos,
        "caption": view.captions,
        "tune": view.prepared,
    }
    maps = sum(len(view.controlled.kinds(name)) for name in view.controlled.asked)
    done_maps = sum(len(view.controlled.rows(name)) for name in view.controlled.maps)
    unsteered = {video_id for step, video_id in failed if step == "control"}
    for step, done in done_videos.items():
        lost |= {entry.video_id for entry in entries if (step, entry.video_id) in failed}
        if step == "tune":
            steps["control"] = StepStatus(maps, done_maps, _lost_maps(view, failures, lost))
            lost |= unsteered if view.tunes_with_control else set()
        steps[step] = StepStatus(len(entries), len(done), len(lost - set(done)))
    if not view.prepares:
        steps["tune"] = StepStatus(0, 0, 0)
    lost |= unsteered
    edits = {
        f"{entry.video_id}/{edit.name}": entry.video_id for entry in entries for edit in entry.edits
    }
    unsampled = {
        edit_id
        for edit_id, video_id in edits.items()
        if edit_id not in view.edits and (video_id in lost or ("sample", edit_id) in failed)
    }
    steps["sample"] = StepStatus(len(edits), len(view.edits), len(unsampled))
    protocols = view.config.score.protocols
    unscored = {
        edit_id for edit_id in edits if edit_id in unsampled or ("score", edit_id) in failed
    }
    missing = sum(
        (edit_id, protocol) not in view.scores for edit_id in unscored for protocol in protocols
    )
    steps["score"] = StepStatus(len(edits) * len(protocols), len(view.scores), missing)
    without_edits = {entry.video_id for entry in entries if not entry.edits}
    items = len(edits) + len(without_edits)
    steps = {name: steps[name] for name in STEPS}
    return Status(steps, len(unscored) + len(lost & without_edits), items)


def _lost_maps(view: View, failures: Sequence[Row], lost: Collection[str]) -> int:
    """Maps that are missing and will not be made: of lost videos, or that failed themselves."""
    keys = {
        (row["item_key"].partition("-")[0], row["video_id"])
        for row in failures
        if row["step"] == "control"
    }
    count = 0
    for name in view.controlled.asked:
        if name in view.videos:
            left = view.controlled.missing(name)
            count += sum((one.work_key, name) in keys for one in left)
        elif name in lost:
            count += len(view.controlled.kinds(name))
    return count
