"""Whether a benchmark's scores fell behind an earlier run's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from eval.errors import EvalError
from eval.measures import MEASURES

Scores = Mapping[str, float]
"""One measure by edit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One measure's means over the edits that the baseline scored."""

    baseline: float
    now: float
    worse_by: float
    """In the measure's unit; below zero: better."""
    bound: float | None
    """How much worse it may be; none: it is only shown."""
    edits: int
    missing: int
    """Edits that the baseline scored and this run did not."""

    @property
    def regressed(self) -> bool:
        """Whether it is worse than its bound allows, or an edit of it went missing."""
        return self.bound is not None and (self.worse_by > self.bound or self.missing > 0)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Every measure that the baseline has."""

    changes: Mapping[str, Change]
    """By ``protocol.measure``."""

    @property
    def regressions(self) -> list[str]:
        """Measures that fell behind, each with its figures."""
        return [_explain(name, change) for name, change in self.changes.items() if change.regressed]

    def markdown(self) -> str:
        """A table, with the regressions above it."""
        head = [f"**Regressed:** {line}\n" for line in self.regressions] or ["No regression.\n"]
        rows = [
            f"| {name} | {change.baseline:.2f} | {change.now:.2f} | {change.worse_by:+.2f} | "
            f"{'–' if change.bound is None else f'{change.bound:g}'} | {change.edits} |"
            for name, change in self.changes.items()
        ]
        table = [
            "| measure | baseline | now | worse by | bound | edits |",
            "|---|---|---|---|---|---|",
        ]
        return "\n".join([*head, *table, *rows]) + "\n"


def compare(
    now: Mapping[str, Scores], baseline: Mapping[str, Scores], bounds: Mapping[str, float]
) -> Comparison:
    """Compare means over the edits that both scored.

    Args:
        now: Scores by ``protocol.measure`` and edit.
        baseline: The same of an earlier run.
        bounds: How much worse each measure may be, in its unit.

    Raises:
        EvalError: a bound is below zero or no number, or names a measure that the baseline lacks.
    """
    for name, bound in bounds.items():
        if name not in baseline:
            raise EvalError(
                f"a bound is given for {name!r}, which the baseline does not hold: "
                f"it has {', '.join(sorted(baseline)) or 'no score at all'}"
            )
        if not (math.isfinite(bound) and bound >= 0):
            raise EvalError(f"the bound of {name} is {bound}, but must be 0 or more")
    return Comparison(
        {
            name: _change(name, now.get(name, {}), scores, bounds.get(name))
            for name, scores in sorted(baseline.items())
        }
    )


def _change(name: str, now: Scores, baseline: Scores, bound: float | None) -> Change:
    both = sorted(now.keys() & baseline.keys())
    means = [math.fsum(one[edit] for edit in both) / max(len(both), 1) for one in (baseline, now)]
    lower_is_better = MEASURES[name.rpartition(".")[2]].lower_is_better
    worse = means[1] - means[0] if lower_is_better else means[0] - means[1]
    return Change(
        baseline=means[0],
        now=means[1],
        worse_by=worse,
        bound=bound,
        edits=len(both),
        missing=len(baseline) - len(both),
    )


def _explain(name: str, change: Change) -> str:
    lost = f", and {change.missing} edit(s) lack it now" if change.missing else ""
    return (
        f"{name} is {change.now:.2f} and was {change.baseline:.2f}: worse by "
        f"{change.worse_by:.2f}, but at most {change.bound:g} is allowed{lost}"
    )
