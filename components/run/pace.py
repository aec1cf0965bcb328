"""How fast a run's steps go and what they cost, from the rows that they committed."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.config import RayConfig
from components.run.status import Status
from components.storage.store import Store
from components.storage.tables import read_arrow

RECENT = 200
"""Rows that the pace is measured on, the latest."""
PAUSE = dt.timedelta(minutes=30)
"""A longer time without a commit is no work: the run stood still."""

_TABLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ingest": ("videos",),
        "caption": ("captions",),
        "control": ("controls",),
        "tune": ("adapters", "latents"),
        "sample": ("edits",),
        "score": ("scores",),
    }
)
"""Whose rows a step commits; the last is written when an item is done."""


@dataclass(frozen=True, slots=True)
class Pace:
    """One step's speed and cost."""

    per_hour: float | None
    """Items, lately; none before there are two."""
    left_seconds: float | None
    """Until all that is left is done at this pace, once the step is at work."""
    seconds: float
    """Spent on all rows that are there, by all workers together."""
    gpu_seconds: float
    """Of these, on a GPU."""
    last_commit: dt.datetime | None
    """When a row was committed last, UTC."""

    def document(self) -> dict[str, Any]:
        """The same as JSON values; times in seconds, the last commit in ISO 8601."""
        when = self.last_commit and self.last_commit.isoformat()
        return dataclasses.asdict(self) | {"last_commit": when}


def run_pace(store: Store, status: Status) -> dict[str, Pace]:
    """Measure every step.

    Args:
        store: The run's store.
        status: Says what is left.
    """
    return {step: _pace(store, tables, status.steps[step].left) for step, tables in _TABLES.items()}


@dataclass(frozen=True, slots=True)
class Use:
    """How busy a run keeps its workers since it last stood still."""

    since: dt.datetime
    """When the first of these rows was begun, UTC."""
    busy: float
    """The part of the workers' time until the last row that was spent on rows that are there. What
    is still at work, loading and waiting are the rest."""
    left_seconds: float | None
    """Until all is done if it goes on so; none where a step that is left has no row yet."""

    def document(self) -> dict[str, Any]:
        """The same as JSON values, the time in ISO 8601."""
        return dataclasses.asdict(self) | {"since": self.since.isoformat()}


def run_use(store: Store, status: Status, settings: RayConfig) -> Use | None:
    """Measure all steps together, but for those that need no GPU where workers have one.

    Args:
        store: The run's store.
        status: Says what is left.
        settings: How many workers there are.

    Returns:
        None before there is a row that took time, and where `ray.workers` is `auto`.
    """
    if (workers := settings.workers) == "auto":
        return None
    left, known, every = 0.0, True, []
    for step, tables in _TABLES.items():
        if step == "ingest" and settings.gpus_per_worker:
            continue
        rows = [read_arrow(store, table, ("seconds", "created_at")) for table in tables]
        every += [one.select(["seconds", "created_at"]) for one in rows]
        if waiting := status.steps[step].left:
            known = known and len(rows[-1]) > 0
            left += waiting * sum(map(_seconds, rows)) / max(len(rows[-1]), 1)
    found = pa.concat_tables(every).sort_by("created_at")
    seconds = found["seconds"].to_numpy()
    ends = found["created_at"].cast(pa.timestamp("us")).to_numpy().astype(np.int64) / 1e6
    starts = ends - seconds
    # The earliest start from each row on: two lie apart where nothing was being done.
    later = np.minimum.accumulate(starts[::-1])[::-1]
    pauses = np.flatnonzero(later[1:] - ends[:-1] > PAUSE.total_seconds())
    first = pauses[-1] + 1 if len(pauses) else 0
    if not len(ends) or (span := ends[-1] - later[first]) <= 0:
        return None
    busy = float(seconds[first:].sum() / (workers * span))
    return Use(
        since=dt.datetime.fromtimestamp(later[first], dt.UTC),
        busy=busy,
        left_seconds=left / (workers * busy) if known and busy else None,
    )


def _pace(store: Store, tables: Sequence[str], left: int) -> Pace:
    columns = ("seconds", "device", "created_at")
    rows = {table: read_arrow(store, table, columns) for table in tables}
    commits = _latest(rows[tables[-1]]["created_at"])
    speed = _per_second(commits)
    on_gpu = (one.filter(pc.starts_with(one["device"], "cuda")) for one in rows.values())
    return Pace(
        per_hour=None if speed is None else 3600 * speed,
        left_seconds=None if speed is None else left / speed,
        seconds=sum(map(_seconds, rows.values())),
        gpu_seconds=sum(map(_seconds, on_gpu)),
        last_commit=commits[-1] if commits else None,
    )


def _seconds(rows: pa.Table) -> float:
    return pc.sum(rows["seconds"]).as_py() or 0.0


def _latest(commits: pa.ChunkedArray) -> list[dt.datetime]:
    """The last ``RECENT`` of them, the latest last."""
    found: list[dt.datetime] = commits.take(pc.top_k_unstable(commits, RECENT)).to_pylist()
    return sorted(found)


def _per_second(commits: Sequence[dt.datetime]) -> float | None:
    """Commits per second since the last pause."""
    latest = commits
    for number, (one, other) in enumerate(itertools.pairwise(latest[::-1])):
        if one - other > PAUSE:
            latest = latest[-number - 1 :]
            break
    span = (latest[-1] - latest[0]).total_seconds() if latest else 0.0
    return (len(latest) - 1) / span if span > 0 else None
