"""Where a run stands, from its tables alone."""

from __future__ import annotations

from dataclasses import dataclass

from components.current import State
from components.score import score_key


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


def run_status(state: State) -> Status:
    """Count what is done, failed and left in each step."""
    failed = _failed_videos(state)
    edit_ids = [
        (entry.video_id, f"{entry.video_id}/{edit.name}")
        for entry in state.manifest.videos
        for edit in entry.edits
    ]
    unsampled = {
        edit_id
        for video_id, edit_id in edit_ids
        if edit_id not in state.edits
        and (video_id in failed["tune"] or _has_failed(state, "sample", edit_id))
    }
    protocols = state.config.score.protocols
    unscored = {
        (edit_id, protocol)
        for _, edit_id in edit_ids
        for protocol in protocols
        if (edit_id, protocol) not in state.scores
        and (edit_id in unsampled or _score_failed(state, edit_id, protocol))
    }
    videos = len(state.manifest.videos)
    tuned = len(state.adapters.keys() & state.latents.keys())
    steps = {
        "ingest": StepStatus(videos, len(state.videos), len(failed["ingest"])),
        "caption": StepStatus(videos, len(state.captions), len(failed["caption"])),
        "tune": StepStatus(videos, tuned, len(failed["tune"])),
        "sample": StepStatus(len(edit_ids), len(state.edits), len(unsampled)),
        "score": StepStatus(len(edit_ids) * len(protocols), len(state.scores), len(unscored)),
    }
    lost = failed["tune"] - {video_id for video_id, _ in edit_ids}
    lost_items = len(lost) + len({edit_id for edit_id, _ in unscored})
    bare = sum(not entry.edits for entry in state.manifest.videos)
    return Status(steps, lost_items / max(len(edit_ids) + bare, 1))


def _failed_videos(state: State) -> dict[str, set[str]]:
    """Videos that cannot pass each step, because they failed in it or before it."""
    ids = [entry.video_id for entry in state.manifest.videos]
    at = {(step, item_id) for step, _, item_id in state.failures}
    keys = state.adapter_keys
    ingest = {i for i in ids if i not in state.videos and ("ingest", i) in at}
    caption = ingest | {
        i for i in ids if i in state.videos and i not in state.captions and ("caption", i) in at
    }
    tuned = state.adapters.keys() & state.latents.keys()
    tune = caption | {i for i in keys if i not in tuned and ("tune", keys[i], i) in state.failures}
    return {"ingest": ingest, "caption": caption, "tune": tune}


def _has_failed(state: State, step: str, edit_id: str) -> bool:
    planned = state.planned_edits.get(edit_id)
    return planned is not None and (step, planned.edit_key, edit_id) in state.failures


def _score_failed(state: State, edit_id: str, protocol: str) -> bool:
    if (edit := state.edits.get(edit_id)) is None:
        return False
    key = score_key(edit["edit_key"], protocol, state.revisions.score)
    return ("score", key, edit_id) in state.failures
