"""Aggregates of scores: unweighted means over every (video, edit), never over two protocols.

The mean over edits is the one that papers report; a video with more edits counts more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from eval.values import NOTHING, Mean, Value, means


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One edit's scores under one protocol."""

    protocol: str
    category: str
    values: Mapping[str, float | None]
    """By measure; None or NaN: missing, never 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Aggregate:
    """The means of one protocol over one category, or over all."""

    protocol: str
    category: str | None
    """None: over every category."""
    count: int
    """Edits, scored or not."""
    means: Mapping[str, Mean]
    """By measure."""


def aggregate(scores: Iterable[Score]) -> list[Aggregate]:
    """Average scores by protocol: each category in alphabetical order, then overall.

    Args:
        scores: One for each (video, edit, protocol).
    """
    values = [
        Value("", "", "", one.category, one.protocol, "", name, value)
        for one in scores
        for name, value in one.values.items()
    ]
    by_category = means(values, ("protocol", "category", "measure"))
    overall = means(values, ("protocol", "measure"))
    found = []
    for protocol in sorted({protocol for protocol, _ in overall}):
        names = [name for one, name in overall if one == protocol]
        for category in sorted({name for one, name, _ in by_category if one == protocol}):
            of_one = {name: by_category.get((protocol, category, name), NOTHING) for name in names}
            found.append(_aggregate(protocol, category, of_one))
        of_all = {name: overall[protocol, name] for name in names}
        found.append(_aggregate(protocol, None, of_all))
    return found


def _aggregate(protocol: str, category: str | None, found: Mapping[str, Mean]) -> Aggregate:
    count = max(one.count + one.missing for one in found.values())
    return Aggregate(protocol=protocol, category=category, count=count, means=found)
