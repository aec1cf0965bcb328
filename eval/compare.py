"""Variants and runs against each other: means, paired differences, wins, and bounds on a loss.

The one comparison of the product: `tav compare` prints it, the scheduled re-evaluation is decided
by it. Means are over videos, of each video's mean over its edits: a video weighs the same however
many edits it has. Shape legend: E edits.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from eval.bootstrap import Codes, Floats, Interval, intervals, video_means
from eval.correlation import Correlation
from eval.errors import EvalError
from eval.pivot import Kind, Table
from eval.protocols.registry import measure_of, shown
from eval.values import Value


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One measure of one variant over one category."""

    protocol: str
    judge: str
    measure: str
    category: str | None
    """None: over every category."""
    variant: str
    edits: int
    """That have the measure."""
    missing: int
    """That another variant has the measure of, and this one has not."""
    mean: Interval | None
    """None: of no edit."""
    against: str | None
    """The variant that it is compared with; none: others are compared with it."""
    pairs: int
    """Edits that both have the measure of; the rest stands on these."""
    lost: int
    """Edits that ``against`` has the measure of, and this variant has not."""
    mean_of_pairs: float | None
    against_mean_of_pairs: float | None
    difference: Interval | None
    """Paired, ``against`` minus this variant."""
    wins: int
    """Edits of which this variant is better: higher, or lower where lower is better."""
    ties: int
    losses: int

    @property
    def name(self) -> str:
        """``protocol.measure``."""
        return _name((self.protocol, self.judge, self.measure))

    @property
    def worse_by(self) -> float:
        """In the measure's unit; below zero: better. NaN without a pair."""
        if self.difference is None:
            return math.nan
        mean = self.difference.mean
        lower = measure_of(self.protocol, self.measure).lower_is_better
        return -mean if lower else mean


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Every measure of every variant, and what of it is out of bounds."""

    against: Mapping[str, str | None]
    """By variant, in the order in which they are shown: the one that it is compared with."""
    cells: tuple[Cell, ...]
    """By protocol, judge, measure, category (all of them first) and variant."""
    bounds: Mapping[str, float] = field(default_factory=dict)
    """By ``protocol.measure``: how much worse a mean may be."""
    bounded: Collection[str] = ()
    """Variants that the bounds hold for."""
    correlations: tuple[Correlation, ...] = ()
    """Of every measure with a trusted protocol's, where one was named."""

    @property
    def changes(self) -> dict[str, Cell]:
        """What the bounded variants came to over all edits that are pairs, by a name for each."""
        several = len(self.bounded) > 1
        return {
            f"{cell.variant}.{cell.name}" if several else cell.name: cell
            for cell in self._held()
            if cell.pairs
        }

    @property
    def regressions(self) -> list[str]:
        """Measures that fell behind, or of which an edit went missing, each with its figures."""
        return [
            self._explain(cell)
            for cell in self._held()
            if cell.name in self.bounds and (cell.lost or cell.worse_by > self.bounds[cell.name])
        ]

    def _held(self) -> Iterator[Cell]:
        for cell in self.cells:
            if cell.category is None and cell.variant in self.bounded:
                yield cell

    def _explain(self, cell: Cell) -> str:
        whose = f"{cell.variant}: " if len(self.bounded) > 1 else ""
        lost = f"{cell.lost} edit(s) lack it now" if cell.lost else ""
        if not cell.pairs:
            other = any(
                one.edits and one.judge != cell.judge
                for one in self._held()
                if (one.variant, one.name) == (cell.variant, cell.name)
            )
            why = ": another model judged them, and two judges are not mixed" if other else ""
            return f"{whose}{cell.name} cannot be compared: {lost}{why}"
        return (
            f"{whose}{cell.name} is {cell.mean_of_pairs:.2f} and was "
            f"{cell.against_mean_of_pairs:.2f}: worse by {cell.worse_by:.2f}, but at most "
            f"{self.bounds[cell.name]:g} is allowed{', and ' if lost else ''}{lost}"
        )


def compare(
    values: Iterable[Value],
    against: Mapping[str, str | None],
    bounds: Mapping[str, float] | None = None,
    bounded: Collection[str] | None = None,
) -> Comparison:
    """Compare variants with each other.

    Args:
        values: Of these variants, in any order; of two of one edit the later one counts.
        against: By variant, in the order in which they are to be shown: the one that it is compared
            with, or none.
        bounds: By ``protocol.measure``: how much worse than its reference's a mean over all pairs
            may be, in the measure's unit. An edit that the reference alone has is a regression.
        bounded: Variants that the bounds hold for; none means all that have a reference.

    Raises:
        EvalError: a bound is below zero or no number, or names a measure that no reference has.
    """
    if bounded is None:
        bounded = [variant for variant, other in against.items() if other is not None]
    drafts = list(_drafts(values, against))
    _check(bounds or {}, drafts, {against[variant] for variant in bounded})
    wanted = [sample for draft in drafts for sample in (draft.means(), draft.differences())]
    found = intervals(wanted)
    cells = tuple(
        draft.cell(mean, difference)
        for draft, mean, difference in zip(drafts, found[::2], found[1::2], strict=True)
    )
    return Comparison(against=against, cells=cells, bounds=bounds or {}, bounded=bounded)


def _check(
    bounds: Mapping[str, float], drafts: Sequence[_Draft], references: Collection[str | None]
) -> None:
    held = {
        _name(draft.kind)
        for draft in drafts
        if draft.variant in references and not np.isnan(draft.values_E).all()
    }
    for name, bound in bounds.items():
        if name not in held:
            raise EvalError(
                f"a bound is given for {name!r}, which the baseline does not hold: "
                f"it has {', '.join(sorted(held)) or 'no score at all'}"
            )
        if not (math.isfinite(bound) and bound >= 0):
            raise EvalError(f"the bound of {name} is {bound}, but must be 0 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Draft:
    """A cell that lacks its intervals."""

    kind: Kind
    category: str | None
    variant: str
    against: str | None
    values_E: Floats
    against_E: Floats
    videos_E: Codes

    def means(self) -> Floats:
        return video_means(self.values_E, self.videos_E)

    def differences(self) -> Floats:
        return video_means(self.against_E - self.values_E, self.videos_E)

    def cell(self, mean: Interval | None, difference: Interval | None) -> Cell:
        protocol, judge, measure = self.kind
        edits = int(np.count_nonzero(~np.isnan(self.values_E)))
        paired = ~np.isnan(self.values_E) & ~np.isnan(self.against_E)
        less = self.values_E < self.against_E
        more = self.values_E > self.against_E
        lower = measure_of(protocol, measure).lower_is_better
        better, worse = (less, more) if lower else (more, less)
        pairs, wins, losses = (int(np.count_nonzero(one)) for one in (paired, better, worse))
        both = [
            float(video_means(one[paired], self.videos_E[paired]).mean()) if pairs else None
            for one in (self.values_E, self.against_E)
        ]
        return Cell(
            protocol=protocol,
            judge=judge,
            measure=measure,
            category=self.category,
            variant=self.variant,
            edits=edits,
            missing=len(self.values_E) - edits,
            mean=mean,
            against=self.against,
            pairs=pairs,
            lost=int(np.count_nonzero(~np.isnan(self.against_E))) - pairs,
            mean_of_pairs=both[0],
            against_mean_of_pairs=both[1],
            difference=difference,
            wins=wins,
            ties=pairs - wins - losses,
            losses=losses,
        )


def _drafts(values: Iterable[Value], against: Mapping[str, str | None]) -> Iterator[_Draft]:
    table = Table.of(values)
    nothing_E = np.full(len(table.videos_E), np.nan)
    for kind in sorted(table.columns, key=_order):
        columns = {variant: table.columns[kind].get(variant, nothing_E) for variant in against}
        known_E = np.any([~np.isnan(column) for column in columns.values()], axis=0)
        for code in (None, *np.unique(table.categories_E[known_E])):
            of_E = known_E if code is None else known_E & (table.categories_E == code)
            for variant, other in against.items():
                yield _Draft(
                    kind=kind,
                    category=None if code is None else table.categories[code],
                    variant=variant,
                    against=other,
                    values_E=columns[variant][of_E],
                    against_E=(nothing_E if other is None else columns[other])[of_E],
                    videos_E=table.videos_E[of_E],
                )


def _name(kind: Kind) -> str:
    protocol, _, measure = kind
    return f"{protocol}.{measure}" if protocol else measure


def _order(kind: Kind) -> tuple[bool, str, str, int]:
    """By protocol and judge, measures as they are always shown; what has no protocol comes last."""
    protocol, judge, measure = kind
    return not protocol, protocol, judge, shown(protocol, [measure]).index(measure)
