"""One video to prepare, as the plan, the workers and the ledger know it."""

from __future__ import annotations

from dataclasses import dataclass, field

from components.storage.tables import Row


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareItem:
    """One video to prepare."""

    item_key: str
    """Of the stage that is at work, at first the first that is wanted."""
    video_id: str
    variant: str
    video_row: Row
    """What leads back to the clip's frames (see ``clips.clip_reference``)."""
    source_prompt: str
    seed_key: str
    """What the method's draws are seeded with, beside the run's seed."""
    wanted: list[Row]
    """``kind``, ``key``, ``name``, ``before`` and ``work_key`` of each stage to do, in order (see
    ``stages.StageKey``)."""
    made: list[Row]
    """The same of stages that are there, with ``uri`` and ``sha256``, or ``part`` of latents."""
    controls: list[Row] = field(default_factory=list)
    """What steers the tuning (see ``steps.methods.controls_of``)."""
    long: bool
    """Whether it is work for Ray Train."""
    attempt: int
