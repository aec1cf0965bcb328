"""One video to prepare, as the plan, the workers and the ledger know it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from components.storage.tables import Row
from methods.method import ADAPTER


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """Another video of a group, into whose adapter it is tuned."""

    video_id: str
    video_row: Row
    source_prompt: str
    controls: list[Row] = field(default_factory=list)
    """What steers the tuning (see ``steps.source``)."""
    seed_key: str = ""
    """Nothing is drawn for it alone."""
    mask: Row | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareItem:
    """One video to prepare; of a group the one whose row the adapter is."""

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
    """The same of stages that are there, with ``uri`` and ``sha256``, or ``part`` of latents. A row
    of kind ``exact`` is what the first stage's artefact can be made of (see ``Stage.form``)."""
    controls: list[Row] = field(default_factory=list)
    """What steers the tuning (see ``steps.source``)."""
    mask: Row | None = None
    """SAM 2's mask (likewise); none where the manifest's own is used."""
    group: str = ""
    """Of videos that are tuned together its name, where their adapter is to be tuned."""
    others: list[Row] = field(default_factory=list)
    """Its other videos, fields of a ``Member`` each; their order counts."""
    problem: str | None = None
    """Why the group cannot be tuned; the item then fails when its turn comes."""
    long: bool
    """Whether it is work for Ray Train."""
    attempt: int

    def failing(self, key: str) -> list[PrepareItem]:
        """Whose failure it is that a stage fails: of a group's adapter that of all its videos.

        Args:
            key: The stage's ``work_key``.
        """
        own = dataclasses.replace(self, item_key=key)
        adapter = {row["work_key"] for row in self.wanted if row["kind"] == ADAPTER}
        if key not in adapter:
            return [own]
        return [own, *(dataclasses.replace(own, video_id=row["video_id"]) for row in self.others)]
