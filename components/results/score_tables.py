"""Scores as tables for a terminal: one for each protocol, with that protocol's measures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from components.results.export import number
from components.results.values import score_values, variant_of
from components.storage.tables import Row
from eval.measures import CLIP_MEASURES, MEASURES
from eval.values import NOTHING, means

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

MAX_PRINTED = 50
"""Rows printed of each protocol; the rest is counted."""


def print_scores(rows: Sequence[Row], console: Console) -> None:
    """Print scores and each variant's means over all edits.

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

    found = means(score_values(rows), ("variant", "measure"))
    shown = [name for name in MEASURES if any(name == measure for _, measure in found)]
    variants = list(dict.fromkeys(map(variant_of, rows)))
    several = len(variants) > 1
    table = Table(title=plain(label))
    # The prompt of an edit is that of all variants, and there is no room for both.
    for name in ("edit", "variant", "category") if several else ("edit", "category", "prompt"):
        # Long prompts are cut here and whole in the report and the export.
        table.add_column(name, no_wrap=True, max_width=48)
    shown = shown or list(CLIP_MEASURES)
    for header in (*(MEASURES[name].label.replace(" ", "\n", 1) for name in shown), "Seconds"):
        table.add_column(header.lower(), justify="right", no_wrap=True)
    for row in rows[:MAX_PRINTED]:
        names = (variant_of(row), row["category"]) if several else (row["category"], row["prompt"])
        numbers = (number(row[name]) for name in (*shown, "seconds"))
        table.add_row(plain(row["edit_id"]), *map(plain, names), *numbers)
    table.add_section()
    for variant in variants:
        of_one = [found.get((variant, name), NOTHING) for name in shown]
        edits = sum(variant_of(row) == variant for row in rows)
        counted = f"{min(mean.count for mean in of_one)} of {edits} edit(s)"
        named = plain(variant if several else "")
        table.add_row("mean", named, counted, *(number(one.value) for one in of_one), "")
    return table


def plain(value: Any) -> Text:
    """Text without markup, and without control characters that a terminal would obey."""
    from rich.text import Text

    text = "–" if value is None else str(value)
    return Text("".join(mark if mark.isprintable() else "·" for mark in text))
