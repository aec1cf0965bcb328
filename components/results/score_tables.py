"""Scores as tables for a terminal: one for each protocol, with that protocol's measures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
_EDGE = 3
"""Characters between two columns."""
_BORDER = 1
_LEAST_PROMPT = 16
_NUMBER = 8
"""Characters that a column of numbers has at least, edge included."""


@dataclass(frozen=True, slots=True)
class _Group:
    """What one protocol made of edits."""

    label: str
    rows: Sequence[Row]
    titles: Mapping[str, str]
    """By measure to show, a header in lines."""
    means: Mapping[tuple[str, ...], Mean]
    """By variant and measure."""

    def of(self, variant: str, names: Sequence[str]) -> tuple[str, list[str]]:
        """How many edits have all numbers, and the means of some or of seconds, which has none."""
        of_all = [self.means.get((variant, name), NOTHING) for name in self.titles]
        shown_means = [self.means.get((variant, name), NOTHING) for name in names]
        texts = [
            number(one.value) if name in self.titles else ""
            for name, one in zip(names, shown_means, strict=True)
        ]
        return str(min((mean.count for mean in of_all), default=0)), texts


def print_scores(rows: Sequence[Row], console: Console) -> None:
    """Print scores and their means over all edits; of several variants each one's means alone.

    Where the console has no room for all measures, they are divided among several tables.

    Args:
        rows: From ``score_table``.
        console: Where to print. Control characters in ids and prompts are shown as dots.
    """
    variants = list(dict.fromkeys(map(variant_of, rows)))
    for group in _by_protocol(rows):
        if len(variants) > 1:
            left = _width([*variants, "mean of"]) + _width(["edits", "999/999"])
            for names in in_parts(group.titles, console.width - _BORDER - left):
                console.print(_means(group, variants, names))
            continue
        _print_edits(group, console)
        if len(group.rows) > MAX_PRINTED:
            more = len(group.rows) - MAX_PRINTED
            console.print(f"… and {more} more: `tav export RUN --to scores.csv`")
    if len(variants) > 1:
        console.print("Differences, by category and with intervals: `tav compare RUN`")


def in_parts(titles: Mapping[str, str], room: int, least: int = _NUMBER) -> Iterator[list[str]]:
    """Divide a table's columns of numbers among tables that are no wider than a terminal.

    Args:
        titles: By column, what stands above it in lines that are not wrapped.
        room: Characters that the columns may take, their edges included; each table has one column
            or more, however little there is.
        least: Characters that a column takes at least, its edge included.
    """
    part: list[str] = []
    left = room
    for name, title in titles.items():
        wide = max(least, _width(title.splitlines()))
        if part and wide > left:
            yield part
            part, left = [], room
        part.append(name)
        left -= wide
    yield part


def _width(texts: Sequence[str]) -> int:
    return max(map(len, texts)) + _EDGE


def _by_protocol(rows: Sequence[Row]) -> list[_Group]:
    """Rows by what judged them; the model is named where one protocol has several."""
    models = {(row["protocol"], row["score_model"], row["score_revision"]) for row in rows}
    several = len(models) > len({protocol for protocol, *_ in models})
    groups: dict[str, list[Row]] = {}
    for row in rows:
        protocol = row["protocol"] or "not scored"
        label = f"{protocol} · {row['score_model']}" if several and row["protocol"] else protocol
        groups.setdefault(label, []).append(row)
    return [_group(label, of_one) for label, of_one in groups.items()]


def _group(label: str, rows: Sequence[Row]) -> _Group:
    found = means(score_values(rows), ("variant", "measure"))
    protocol = rows[0]["protocol"] or ""
    names = shown(protocol, (measure for _, measure in found))
    titles = {name: measure_of(protocol, name).label.lower().replace(" ", "\n") for name in names}
    return _Group(label, rows, titles, found)


def _print_edits(group: _Group, console: Console) -> None:
    """One variant's edits; where prompts would make it two tables or more, they are left out."""
    texts = ["edit_id", "category"]
    told = {text: [text, *(row[text] or "" for row in group.rows[:MAX_PRINTED])] for text in texts}
    told["category"].append(_counted(group, MAX_PRINTED))
    room = console.width - _BORDER - sum(map(_width, told.values()))
    numbers = {**group.titles, SECONDS: SECONDS}
    if len(list(in_parts(numbers, room - _LEAST_PROMPT))) == 1:
        texts, room = [*texts, "prompt"], room - _LEAST_PROMPT
    for names in in_parts(numbers, room):
        console.print(_table(group, texts, names))


def _table(group: _Group, texts: Sequence[str], names: Sequence[str]) -> Table:
    headers = [group.titles.get(name, name) for name in names]
    table = _headed(group.label, [text.removesuffix("_id") for text in texts], headers)
    for row in group.rows[:MAX_PRINTED]:
        values = {**row["values"], SECONDS: row[SECONDS]}
        table.add_row(
            *(plain(row[text]) for text in texts), *(number(values.get(n)) for n in names)
        )
    table.add_section()
    count, of_all = group.of(variant_of(group.rows[0]), names)
    empty = [""] * (len(texts) - 2)
    table.add_row("mean", *empty, _counted(group, count), *of_all)
    return table


def _counted(group: _Group, count: int | str) -> str:
    return f"{count} of {len(group.rows)} edit(s)"


def _means(group: _Group, variants: Sequence[str], names: Sequence[str]) -> Table:
    headers = [group.titles[name] for name in names]
    table = _headed(group.label, ("mean of", "edits"), headers)
    for variant in variants:
        edits = sum(variant_of(row) == variant for row in group.rows)
        count, of_all = group.of(variant, names)
        table.add_row(plain(variant), f"{count}/{edits}", *of_all)
    return table


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
