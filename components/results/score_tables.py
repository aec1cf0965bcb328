"""Scores as tables for a terminal: one for each protocol, with that protocol's measures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from components.results.export import number
from components.results.values import score_values, variant_of
from components.storage.tables import Row
from eval.measures import SECONDS
from eval.protocols.registry import measure_of, shown
from eval.values import NOTHING, Mean, means

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

MAX_PRINTED = 50
"""Rows printed of each protocol; the rest is counted."""


def print_scores(rows: Sequence[Row], console: Console) -> None:
    """Print scores and their means over all edits; of several variants each one's means alone.

    Args:
        rows: From ``score_table``.
        console: Where to print. Control characters in ids and prompts are shown as dots.
    """
    variants = list(dict.fromkeys(map(variant_of, rows)))
    for label, group in _by_protocol(rows).items():
        if len(variants) > 1:
            console.print(_means(label, group, variants))
            continue
        console.print(_table(label, group))
        if len(group) > MAX_PRINTED:
            more = len(group) - MAX_PRINTED
            console.print(f"… and {more} more: `tav export RUN --to scores.csv`")
    if len(variants) > 1:
        console.print("Differences, by category and with intervals: `tav compare RUN`")


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
    names, found = _measures(rows)
    table = _headed(label, ("edit", "category", "prompt"), [*_titles(rows, names), "seconds"])
    for row in rows[:MAX_PRINTED]:
        texts = (row["edit_id"], row["category"], row["prompt"])
        numbers = [*map(row["values"].get, names), row[SECONDS]]
        table.add_row(*map(plain, texts), *map(number, numbers))
    table.add_section()
    of_all = [found.get((variant_of(rows[0]), name), NOTHING) for name in names]
    counted = f"{min((mean.count for mean in of_all), default=0)} of {len(rows)} edit(s)"
    table.add_row("mean", "", counted, *(number(one.value) for one in of_all), "")
    return table


def _means(label: str, rows: Sequence[Row], variants: Sequence[str]) -> Table:
    names, found = _measures(rows)
    table = _headed(label, ("mean of", "edits"), _titles(rows, names))
    for variant in variants:
        of_one = [found.get((variant, name), NOTHING) for name in names]
        edits = sum(variant_of(row) == variant for row in rows)
        counted = f"{min((mean.count for mean in of_one), default=0)}/{edits}"
        table.add_row(plain(variant), counted, *(number(one.value) for one in of_one))
    return table


def _measures(rows: Sequence[Row]) -> tuple[Sequence[str], dict[tuple[str, ...], Mean]]:
    """The measures to show, and means by variant and measure."""
    found = means(score_values(rows), ("variant", "measure"))
    return shown(rows[0]["protocol"] or "", (measure for _, measure in found)), found


def _titles(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """Headers of a protocol's measures, in two lines."""
    labels = (measure_of(rows[0]["protocol"], name).label for name in names)
    return [label.replace(" ", "\n", 1).lower() for label in labels]


def _headed(label: str, names: Sequence[str], numbers: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(title=plain(label))
    for name in names:
        # Long prompts are cut here and whole in the report and the export.
        table.add_column(name, no_wrap=True, max_width=48)
    for title in numbers:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def plain(value: Any) -> Text:
    """Text without markup, and without control characters that a terminal would obey."""
    from rich.text import Text

    text = "–" if value is None else str(value)
    return Text("".join(mark if mark.isprintable() else "·" for mark in text))
