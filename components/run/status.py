"""Where a run stands, from its tables alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from components.run.current import State


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


@dataclass(frozen=True, slots=True)
class Status:
    """A run at one moment."""

    steps: dict[str, StepStatus]
    """By step name, in order."""
    failed_fraction: float
    """Failed videos and edits over all; what the exit code is about."""

    def document(self) -> dict[str, Any]:
        """The same as JSON values, with what is left of each step."""
        steps = {
            name: dataclasses.asdict(step) | {"left": step.left}
            for name, step in self.steps.items()
        }
        return {"failed_fraction": self.failed_fraction, "steps": steps}


def run_status(state: State) -> Status:
    """Count what is done, failed and left in each step.

    An item that waits for a failed one counts as failed too.
    """
    failed = {(row["step"], row["edit_id"] or row["video_id"]) for row in state.open_failures}
    entries = state.manifest.videos
    lost: set[str] = set()
    steps = {}
    done_videos: dict[str, Collection[str]] = {
        "ingest": state.videos,
        "caption": state.captions,
        "tune": state.adapters.keys() & state.latents.keys(),
    }
    for step, done in done_videos.items():
        lost |= {entry.video_id for entry in entries if (step, entry.video_id) in failed}
        steps[step] = StepStatus(len(entries), len(done), len(lost - set(done)))
    edits = {
        f"{entry.video_id}/{edit.name}": entry.video_id for entry in entries for edit in entry.edits
    }
    unsampled = {
        edit_id
        for edit_id, video_id in edits.items()
        if edit_id not in state.edits and (video_id in lost or ("sample", edit_id) in failed)
    }
    steps["sample"] = StepStatus(len(edits), len(state.edits), len(unsampled))
    protocols = state.config.score.protocols
    unscored = {
        edit_id for edit_id in edits if edit_id in unsampled or ("score", edit_id) in failed
    }
    missing = sum(
        (edit_id, protocol) not in state.scores for edit_id in unscored for protocol in protocols
    )
    steps["score"] = StepStatus(len(edits) * len(protocols), len(state.scores), missing)
    without_edits = {entry.video_id for entry in entries if not entry.edits}
    items = len(edits) + len(without_edits)
    return Status(steps, (len(unscored) + len(lost & without_edits)) / max(items, 1))
