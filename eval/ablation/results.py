"""What an ablation found, as numbers, as Markdown and as a picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.ablation.statistics import Interval, Scores, difference, interval
from eval.measures import MEASURES

FULL = "full"
"""The variant that the others are compared with."""

Measured = Mapping[str, Mapping[str, Scores]]
"""By variant and by column of `eval.measures.MEASURES`."""


@dataclass(frozen=True, slots=True)
class Results:
    """Intervals by variant and column; a column that nothing fills has None."""

    means: dict[str, dict[str, Interval | None]]
    differences: dict[str, dict[str, Interval | None]]
    """Paired, full minus variant."""

    def document(self) -> dict[str, Any]:
        """The same as JSON's types."""
        return dataclasses.asdict(self)


def summarise(measured: Measured) -> Results:
    """Average every variant and compare each with the full method."""
    full = measured[FULL]
    return Results(
        means={
            variant: {name: interval(scores[name]) for name in MEASURES}
            for variant, scores in measured.items()
        },
        differences={
            variant: {name: difference(full[name], scores[name]) for name in MEASURES}
            for variant, scores in measured.items()
            if variant != FULL
        },
    )


def markdown(results: Results) -> str:
    """Two tables: means, and paired differences from the full method."""
    means = _table("Variant", results.means, _mean)
    differences = _table("Full minus", results.differences, _difference)
    return (
        f"{means}\nPaired differences, in bold where the interval excludes zero:\n\n{differences}"
    )


def _table(corner: str, rows: Mapping[str, Mapping[str, Interval | None]], cell: Any) -> str:
    header = [corner, *(_heading(name) for name in MEASURES)]
    rule = ["---", *("---:" for _ in MEASURES)]
    body = [[variant, *(cell(row[name]) for name in MEASURES)] for variant, row in rows.items()]
    return "".join(f"| {' | '.join(line)} |\n" for line in [header, rule, *body])


def _heading(name: str) -> str:
    measure = MEASURES[name]
    return f"{measure.label} {'↓' if measure.lower_is_better else '↑'}"


def _mean(found: Interval | None) -> str:
    return "–" if found is None else f"{found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _difference(found: Interval | None) -> str:
    if found is None:
        return "–"
    text = f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
    return f"**{text}**" if found.excludes_zero else text


def plot(results: Results, path: Path) -> None:
    """Draw one panel for each measure, a dot with its interval for each variant."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - a second that --help need not pay

    variants = list(results.means)
    figure = Figure(figsize=(2.2 * len(MEASURES), 0.4 * len(variants) + 1.1), layout="constrained")
    panels: Sequence[Any] = figure.subplots(1, len(MEASURES), sharey=True)
    for panel, name in zip(panels, MEASURES, strict=True):
        for place, variant in enumerate(variants):
            found = results.means[variant][name]
            if found is not None:
                color = "#c2410c" if variant == FULL else "#475569"
                panel.plot([found.low, found.high], [place, place], color=color, linewidth=2)
                panel.plot(found.mean, place, "o", color=color, markersize=6)
        panel.set_title(_heading(name), fontsize=9)
        panel.tick_params(labelsize=8)
        panel.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(variants)), variants)
    panels[0].set_ylim(len(variants) - 0.5, -0.5)
    figure.savefig(path, dpi=120)
