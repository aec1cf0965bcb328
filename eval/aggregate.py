"""Aggregates of scores: unweighted means over every (video, edit), never over two protocols.

The mean over edits is the one that papers report; a video with more edits counts more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from eval.measures import MEASURES, Values


@dataclass(frozen=True, kw_only=True, slots=True)
class Score(Values):
    """One edit's scores under one protocol."""

    protocol: str
    category: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Mean:
    """A mean and what it stands on."""

    value: float | None
    """None when nothing was there to average."""
    count: int
    """Edits averaged."""
    missing: int
    """Edits without this score."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Aggregate:
    """The means of one protocol over one category, or over all."""

    protocol: str
    category: str | None
    """None: over every category."""
    count: int
    """Edits, scored or not."""
    means: Mapping[str, Mean]
    """By column (see `eval.measures.MEASURES`)."""


def aggregate(scores: Iterable[Score]) -> list[Aggregate]:
    """Average scores by protocol: each category in alphabetical order, then overall.

    Args:
        scores: One for each (video, edit, protocol).
    """
    groups: dict[str, dict[str | None, list[Score]]] = {}
    for score in scores:
        by_category = groups.setdefault(score.protocol, {})
        by_category.setdefault(score.category, []).append(score)
        by_category.setdefault(None, []).append(score)
    return [
        _aggregate(protocol, category, groups[protocol][category])
        for protocol in sorted(groups)
        for category in [*sorted(name for name in groups[protocol] if name is not None), None]
    ]


def mean(values: Iterable[float | None]) -> Mean:
    """Average what is there; count what is not."""
    every = list(values)
    present = [value for value in every if value is not None and not math.isnan(value)]
    return Mean(
        value=math.fsum(present) / len(present) if present else None,
        count=len(present),
        missing=len(every) - len(present),
    )


def _aggregate(protocol: str, category: str | None, scores: list[Score]) -> Aggregate:
    return Aggregate(
        protocol=protocol,
        category=category,
        count=len(scores),
        means={name: mean(score.value(name) for score in scores) for name in MEASURES},
    )
