"""Scores as tables for a terminal: one for each protocol, with that protocol's measures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from components.results.export import number
from components.storage.tables import Row
from eval.aggregate import Score, aggregate
from eval.measures import MEASURES, filled

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

MAX_PRINTED = 50
"""Rows printed of each protocol; the rest is counted."""

_NAMES = ("edit_id", "category", "prompt")


def print_scores(rows: Sequence[Row], console: Console) -> None:
    """Print scores and their means over all edits.

    Args:
        rows: From ``score_table``.
        console: Where to print. Control characters in ids and prompts are shown as dots.
    """
    for label, group in _by_protocol(rows).items():
        console.print(_table(label, group))
        if len(group) > MAX_PRINTED:
            more = len(group) - MAX_PRINTED
            console.print(f"… and {more} more: `tav export RUN --to scores.csv`")


def _by_protocol(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by what judged them; the model is named where one protocol has several."""
    models = {(row["protocol"], row["score_model"], row["score_revision"]) for row in rows}
    several = len(models) > len({protocol for protocol, *_ in models})
    groups: dict[str, list[Row]] = {}
    for row in rows:
        protocol = row["protocol"] or "not scored"
        label = f"{protocol} · {row['score_model']}" if several and row["protocol"] else protocol
        groups.setdefault(label, []).append(row)
    return groups


def _table(label: str, rows: Sequence[Row]) -> Table:
    from rich.table import Table

    scores = [
        Score(protocol=label, category="", **{name: row[name] for name in MEASURES}) for row in rows
    ]
    shown = filled(scores)
    table = Table(title=plain(label))
    for name in _NAMES:
        # Long prompts are cut here and whole in the report and the export.
        table.add_column(name.removesuffix("_id"), no_wrap=True, max_width=48)
    for header in (*(MEASURES[name].label.replace(" ", "\n", 1) for name in shown), "Seconds"):
        table.add_column(header.lower(), justify="right", no_wrap=True)
    for row in rows[:MAX_PRINTED]:
        numbers = (*shown, "seconds")
        table.add_row(*(plain(row[n]) for n in _NAMES), *(number(row[n]) for n in numbers))
    table.add_section()
    means = aggregate(scores)[-1].means
    counted = min(means[name].count for name in shown)
    values = (number(means[name].value) for name in shown)
    table.add_row("mean", "", f"{counted} of {len(rows)} edit(s)", *values, "")
    return table


def plain(value: Any) -> Text:
    """Text without markup, and without control characters that a terminal would obey."""
    from rich.text import Text

    text = "–" if value is None else str(value)
    return Text("".join(mark if mark.isprintable() else "·" for mark in text))
