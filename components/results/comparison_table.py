"""A comparison as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from components.results.comparison_files import (
    ABOUT_CORRELATIONS,
    ABOUT_MEANS,
    Block,
    blocks,
    correlation_rows,
    difference_text,
    heading,
    mean_text,
)
from components.results.score_tables import in_parts, plain
from eval.compare import Comparison

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_NAMES = 40
"""Characters of categories and of the names of variants, edges included; longer ones are folded."""
_INTERVAL = 20
"""Likewise of a number: of its interval with a star."""


def print_comparison(found: Comparison, console: Console) -> None:
    """Print means and paired differences, a table of each for every protocol.

    Args:
        found: From ``compare_runs``.
        console: Where to print. Control characters in names are shown as dots.
    """
    for block in blocks(found):
        for part in _parts(block, console):
            console.print(_means(part))
            table = _differences(part)
            if table.row_count:
                console.print(table)
    if found.correlations:
        console.print(_correlations(found))
        console.print(ABOUT_CORRELATIONS)
    console.print(
        f"{ABOUT_MEANS} Differences are paired by edit; below them wins/ties/losses, the edits of "
        "which what is subtracted is better, equal and worse. A star: the interval excludes zero."
    )


def _parts(block: Block, console: Console) -> Iterator[Block]:
    """A block, its measures divided among as many as the console has room for."""
    titles = {name: heading(block.protocol, name) for name in block.measures}
    words = {name: title.replace(" ", "\n") for name, title in titles.items()}
    for measures in in_parts(words, console.width - _NAMES, _INTERVAL):
        yield replace(block, measures=measures)


def _means(block: Block) -> Table:
    table = _table(block.label, "variant", block)
    for (category, variant), cells in block.rows.items():
        texts = [mean_text(cells.get(name), "\n") for name in block.measures]
        _add(table, category, variant, texts)
    return table


def _differences(block: Block) -> Table:
    table = _table(f"{block.label}: differences", "difference", block)
    for (category, variant), cells in block.rows.items():
        against = next(iter(cells.values())).against
        if against is not None:
            texts = [difference_text(cells.get(name), "\n", "{} *") for name in block.measures]
            _add(table, category, f"{against} minus {variant}", texts)
    return table


def _correlations(found: Comparison) -> Table:
    from rich.table import Table

    names, rows = correlation_rows(found, "\n")
    title = f"rank correlation with {found.correlations[0].with_measure[0]}"
    table = Table(title=plain(title), show_lines=True)
    table.add_column("measure", overflow="fold")
    for name in names:
        table.add_column(name.lower(), justify="right")
    for measure, texts in rows:
        table.add_row(plain(measure), *texts)
    return table


def _table(title: str, corner: str, block: Block) -> Table:
    from rich.table import Table

    table = Table(title=plain(title), show_lines=True)
    table.add_column("category", overflow="fold")
    table.add_column(corner, overflow="fold")
    for name in block.measures:
        table.add_column(heading(block.protocol, name).lower(), justify="right")
    return table


def _add(table: Table, category: str | None, name: str, texts: Sequence[str]) -> None:
    from rich.text import Text

    table.add_row(plain(category or "all"), plain(name), *map(Text, texts))
