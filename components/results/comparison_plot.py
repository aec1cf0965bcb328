"""A comparison's means as one picture: a panel for each measure, a dot for each variant."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from eval.compare import Cell, Comparison
from eval.protocols.registry import measure_of

_IN_A_ROW = 8
_LONGEST = 40
"""Characters of a variant's name."""
_FIRST, _OTHER = "#c2410c", "#475569"


def plot(found: Comparison) -> bytes:
    """Draw means over all categories with their intervals, as PNG."""
    from matplotlib.figure import Figure

    panels: dict[str, dict[str, Cell]] = {}
    kinds: dict[str, set[str]] = {}
    for cell in found.cells:
        if cell.category is None:
            panels.setdefault(f"{cell.name}\n{cell.judge}", {})[cell.variant] = cell
            kinds.setdefault(cell.measure, set()).add(cell.name + cell.judge)
    across = min(len(panels), _IN_A_ROW)
    down = math.ceil(len(panels) / across)
    height = 0.4 * len(found.against) + 1.1
    figure = Figure(figsize=(2.2 * across + 1, down * height), layout="constrained")
    axes: Any = figure.subplots(down, across, sharey=True, squeeze=False).ravel()
    for axis, cells in zip(axes, panels.values(), strict=False):
        _draw(axis, cells, list(found.against))
        one = next(iter(cells.values()))
        several = len(kinds[one.measure]) > 1
        axis.set_title(f"{_plain(one.protocol)}\n{_label(one)}" if several else _label(one), size=9)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    axes[0].set_yticks(range(len(found.against)), [_plain(name) for name in found.against])
    axes[0].set_ylim(len(found.against) - 0.5, -0.5)
    sink = io.BytesIO()
    figure.savefig(sink, format="png", dpi=120)
    return sink.getvalue()


def _draw(axis: Any, cells: Mapping[str, Cell], variants: Sequence[str]) -> None:
    for place, variant in enumerate(variants):
        found = cells[variant].mean
        if found is not None:
            color = _OTHER if cells[variant].against else _FIRST
            if found.low is not None:
                axis.plot([found.low, found.high], [place, place], color=color, linewidth=2)
            axis.plot(found.mean, place, "o", color=color, markersize=6)
    axis.tick_params(labelsize=8)
    axis.grid(axis="x", alpha=0.3)


def _label(cell: Cell) -> str:
    measure = measure_of(cell.protocol, cell.measure)
    return f"{_plain(measure.label)} {'↓' if measure.lower_is_better else '↑'}"


def _plain(text: str) -> str:
    """Text of one line, not too long, in which a dollar sign begins no formula."""
    shown = "".join(mark if mark.isprintable() else "·" for mark in text)
    cut = shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
    return cut.replace("$", r"\$")
