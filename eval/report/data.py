"""What a report shows. Plain values: where they come from is the caller's business."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Media:
    """One mp4 object."""

    uri: str
    """Relative to the run's root."""
    sha256: str
    width: int | None = None
    """Pixels; lets the page keep the place before the video is loaded."""
    height: int | None = None
    speed: float = 1.0
    """How fast to play the file, so that it keeps the pace of the one beside it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportScore:
    """One edit's scores under one protocol by one model."""

    protocol: str
    score_model: str
    score_revision: str
    values: Mapping[str, float]
    """By measure."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """By measure that has no value: why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportRow:
    """One edit of one video in one variant."""

    variant: str
    """One of the report's."""
    method: str
    """What made the edit."""

    video_id: str
    edit_id: str
    edit_key: str
    category: str
    source_prompt: str
    prompt: str
    source: Media | None
    """The tuned-on clip; none when its row is gone."""
    maps: tuple[tuple[str, Media], ...] = ()
    """What steered it, by kind of map."""
    edit: Media
    scores: tuple[ReportScore, ...]
    seconds: float
    """Of sampling this edit."""
    adapter_key: str | None
    """Of what was tuned on the video; edits of equal keys share it."""
    group: tuple[str, ...] = ()
    """The videos that were tuned together, if several were."""
    tune_seconds: float | None
    """Of tuning and inverting the video; shared by its edits."""
    tune_steps: int | None
    num_frames: int
    fps: float
    seed: int
    base_model: str
    base_revision: str
    config_hash: str
    code_version: str
    library_versions: str
    """JSON object of versions by library."""
    device: str
    created_at: dt.datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportFailure:
    """The last failure of one item that has no row yet."""

    step: str
    video_id: str
    edit_id: str | None
    error_type: str
    message: str
    traceback: str
    attempt: int
    retryable: bool
    at: dt.datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportData:
    """Everything a report shows."""

    title: str
    """The run's name."""
    variants: tuple[str, ...]
    """In order; the first is the one that others are compared with. A run without variants has one,
    and its page does not speak of variants."""
    rows: tuple[ReportRow, ...]
    """In the order in which they are first shown; those of one edit follow one another."""
    failures: tuple[ReportFailure, ...]
