"""Means of what a report shows: by category, and of variants beside each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from eval.aggregate import Aggregate, Score, aggregate
from eval.measures import Measure
from eval.protocols.registry import measure_of, shown
from eval.report.cards import ScoreId, score_id
from eval.report.data import ReportData, ReportRow, ReportScore
from eval.values import NOTHING, Mean


@dataclass(frozen=True, slots=True)
class Column:
    """The scores of one protocol by one model."""

    label: str
    """Two models never share one."""
    measures: Mapping[str, Measure]
    """In the order to show them."""


@dataclass(frozen=True, slots=True)
class VariantMeans:
    """One variant's line in the table of variants and measures."""

    variant: int
    edits: int
    seconds: float | None
    """Mean of sampling an edit."""
    means: Mapping[ScoreId, Mapping[str, Mean]]
    best: frozenset[tuple[ScoreId, str]]
    """The columns in which no variant is better."""


def score_columns(rows: Iterable[ReportRow]) -> dict[ScoreId, Column]:
    """The scores of each protocol and model that some row has."""
    found: dict[ScoreId, list[ReportScore]] = {}
    for row in rows:
        for score in row.scores:
            found.setdefault(score_id(score), []).append(score)
    models: dict[str, int] = {}
    for protocol, _, _ in found:
        models[protocol] = models.get(protocol, 0) + 1
    columns = {}
    for identity in sorted(found):
        protocol, model, revision = identity
        label = protocol
        if models[protocol] > 1:
            revision = revision.removeprefix("sha256:")[:8]
            label = f"{protocol} · {model.rpartition('/')[2]} @ {revision}"
        names = shown(protocol, (name for score in found[identity] for name in score.values))
        columns[identity] = Column(label, {name: measure_of(protocol, name) for name in names})
    return columns


def aggregates(rows: Iterable[ReportRow], columns: Mapping[ScoreId, Column]) -> list[Aggregate]:
    """Means of each column, by category and over all; a score that is not there is missing."""
    scores = []
    for row in rows:
        present = {score_id(score): score for score in row.scores}
        for identity, column in columns.items():
            score = present.get(identity)
            values = {name: score.values.get(name) if score else None for name in column.measures}
            scores.append(Score(protocol=column.label, category=row.category, values=values))
    return aggregate(scores)


def variant_means(data: ReportData, columns: Mapping[ScoreId, Column]) -> list[VariantMeans]:
    """Each variant's means over all its edits."""
    rows = {name: [row for row in data.rows if row.variant == name] for name in data.variants}
    means: list[dict[ScoreId, Mapping[str, Mean]]] = []
    for name in data.variants:
        overall = {
            one.protocol: one.means
            for one in aggregates(rows[name], columns)
            if one.category is None
        }
        means.append(
            {
                key: overall.get(one.label, dict.fromkeys(one.measures, NOTHING))
                for key, one in columns.items()
            }
        )
    best = [
        (index, (key, name))
        for key, column in columns.items()
        for name, measure in column.measures.items()
        for index in _best([one[key][name].value for one in means], measure)
    ]
    return [
        VariantMeans(
            variant=index,
            edits=len(rows[name]),
            seconds=fmean(row.seconds for row in rows[name]) if rows[name] else None,
            means=means[index],
            best=frozenset(where for place, where in best if place == index),
        )
        for index, name in enumerate(data.variants)
    ]


def _best(values: Sequence[float | None], measure: Measure) -> list[int]:
    """Where the best value stands; nowhere if there is none to compare it with."""
    present = [value for value in values if value is not None and math.isfinite(value)]
    if len(present) < 2:  # noqa: PLR2004 - two to compare
        return []
    best = min(present) if measure.lower_is_better else max(present)
    return [index for index, value in enumerate(values) if value == best]
