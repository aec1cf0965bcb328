"""A comparison as Markdown, JSON, CSV or a picture."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from components.results.export import csv_cell, markdown_cell
from eval.bootstrap import Interval
from eval.compare import Cell, Comparison
from eval.protocols.registry import measure_of
from eval.published import published

ABOUT_MEANS = "Means over videos, each of which weighs the same, with 95 % bootstrap intervals."
ABOUT_PUBLISHED = (
    "Published by others, of other clips, prompts and weights: not to be ranked among these."
)
ABOUT_CORRELATIONS = (
    "Spearman's correlation over the variants' means, signed so that 1 is one order of variants, "
    "from worse to better; with 95 % bootstrap intervals over videos."
)
ABOUT_DIFFERENCES = (
    "Paired differences, in bold where the interval excludes zero; after it wins/ties/losses: the "
    "edits of which what is subtracted is better, equal and worse."
)


@dataclass(frozen=True, slots=True)
class Block:
    """The cells of one protocol and judge, or of none: one table."""

    protocol: str
    label: str
    measures: list[str]
    rows: dict[tuple[str | None, str], dict[str, Cell]]
    """By category and variant, in the order to show them; then by measure."""


def blocks(found: Comparison) -> list[Block]:
    """Pivot a comparison into tables."""
    judges: dict[str, set[str]] = {}
    for cell in found.cells:
        judges.setdefault(cell.protocol, set()).add(cell.judge)
    tables: dict[tuple[str, str], Block] = {}
    for cell in found.cells:
        label = cell.protocol or "sampling"
        if len(judges[cell.protocol]) > 1:
            label += f" · {cell.judge.removeprefix('sha256:')[:8] or 'unnamed judge'}"
        block = tables.setdefault((cell.protocol, cell.judge), Block(cell.protocol, label, [], {}))
        if cell.measure not in block.measures:
            block.measures.append(cell.measure)
        block.rows.setdefault((cell.category, cell.variant), {})[cell.measure] = cell
    return [_in_order(block, list(found.against)) for block in tables.values()]


def _in_order(block: Block, variants: Sequence[str]) -> Block:
    """Rows over all first, then by category; a measure may have fewer categories than another."""
    keys = sorted(block.rows, key=lambda key: (key[0] is not None, key[0], variants.index(key[1])))
    return replace(block, rows={key: block.rows[key] for key in keys})


def heading(protocol: str, measure: str) -> str:
    """A measure's label, and which way is better."""
    known = measure_of(protocol, measure)
    return f"{known.label} {'↓' if known.lower_is_better else '↑'}"


def mean_text(cell: Cell | None, apart: str = " ") -> str:
    """``mean [low, high]``, and how many edits are missing."""
    if cell is None or cell.mean is None:
        return "–"
    missing = f"{apart}({cell.missing} missing)" if cell.missing else ""
    return interval_text(cell.mean, ".2f", apart) + missing


def difference_text(cell: Cell | None, apart: str = " ", strong: str = "{}") -> str:
    """``mean [low, high] wins/ties/losses``, and how many edits have no pair."""
    if cell is None or (cell.difference is None and not cell.lost):
        return "–"
    lost = f"({cell.lost} lost)" if cell.lost else ""
    if cell.difference is None:
        return lost
    text = interval_text(cell.difference, "+.2f", apart)
    text = strong.format(text) if cell.difference.excludes_zero else text
    counts = f"{cell.wins}/{cell.ties}/{cell.losses}"
    return apart.join(part for part in (text, counts, lost) if part)


def interval_text(found: Interval, form: str = ".2f", apart: str = " ") -> str:
    """``mean [low, high]``; of a single video the mean alone."""
    if found.low is None or found.high is None:
        return format(found.mean, form)
    return f"{found.mean:{form}}{apart}[{found.low:{form}}, {found.high:{form}}]"


def markdown(found: Comparison) -> str:
    """Tables of means and of paired differences for each protocol; with bounds, what broke them."""
    parts = []
    if found.bounds:
        broken = [f"**Regressed:** {markdown_cell(line)}" for line in found.regressions]
        parts += broken or ["No regression."]
    for block in blocks(found):
        parts += [f"## {markdown_cell(block.label)}", ABOUT_MEANS]
        parts.append(_table("Variant", block, _mean_rows(block)))
        parts += _published(block)
        differences = list(_difference_rows(block))
        if differences:
            parts += [ABOUT_DIFFERENCES, _table("Difference", block, differences)]
    if found.correlations:
        parts += _correlations(found)
    return "\n\n".join(parts) + "\n"


def _correlations(found: Comparison) -> list[str]:
    names, rows = correlation_rows(found)
    trusted = found.correlations[0].with_measure[0]
    header = ["Measure", *(markdown_cell(name) for name in names)]
    lines = [header, ["---", *("---:" for _ in names)]]
    lines += [[markdown_cell(measure), *texts] for measure, texts in rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return [f"## Rank correlation with {markdown_cell(trusted)}", ABOUT_CORRELATIONS, table]


def correlation_rows(
    found: Comparison, apart: str = " "
) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """The trusted measures' labels, and of each other measure its correlations with them."""
    columns = list(dict.fromkeys(one.with_measure for one in found.correlations))
    cells = {(one.measure, one.with_measure): one.rho for one in found.correlations}
    rows = []
    for kind in dict.fromkeys(one.measure for one in found.correlations):
        rhos = (cells.get((kind, column)) for column in columns)
        texts = ["–" if rho is None else interval_text(rho, ".2f", apart) for rho in rhos]
        rows.append((".".join(filter(None, (kind[0], kind[2]))), texts))
    return [heading(column[0], column[2]) for column in columns], rows


def _published(block: Block) -> list[str]:
    """Others' figures, apart from a run's own."""
    found = published(block.protocol)
    if not found:
        return []
    titles = (markdown_cell(heading(block.protocol, name)) for name in block.measures)
    lines = [["Published", *titles, "Source", "What differs"]]
    lines.append(["---", *("---:" for _ in block.measures), "---", "---"])
    for one in found:
        figures = (one.values.get(name) for name in block.measures)
        texts = ("–" if figure is None else figure for figure in figures)
        lines.append([*map(markdown_cell, [one.method, *texts, one.source, one.differs])])
    return [ABOUT_PUBLISHED, "\n".join(f"| {' | '.join(line)} |" for line in lines)]


def _mean_rows(block: Block) -> Iterator[list[str]]:
    for (category, variant), cells in block.rows.items():
        texts = (mean_text(cells.get(name)) for name in block.measures)
        yield [markdown_cell(category or "all"), markdown_cell(variant), *texts]


def _difference_rows(block: Block) -> Iterator[list[str]]:
    for (category, variant), cells in block.rows.items():
        against = next(iter(cells.values())).against
        if against is not None:
            what = markdown_cell(f"{against} minus {variant}")
            texts = (difference_text(cells.get(name), strong="**{}**") for name in block.measures)
            yield [markdown_cell(category or "all"), what, *texts]


def _table(corner: str, block: Block, rows: Iterator[list[str]] | list[list[str]]) -> str:
    titles = (markdown_cell(heading(block.protocol, name)) for name in block.measures)
    header = ["Category", corner, *titles]
    rule = ["---", "---", *("---:" for _ in block.measures)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, rule, *rows])


def _flat(cell: Cell) -> dict[str, Any]:
    """A cell as columns, numbers in full."""
    mean, difference = cell.mean, cell.difference
    return {
        "protocol": cell.protocol or None,
        "judge": cell.judge or None,
        "measure": cell.measure,
        "category": cell.category,
        "variant": cell.variant,
        "edits": cell.edits,
        "missing": cell.missing,
        "mean": mean and mean.mean,
        "low": mean and mean.low,
        "high": mean and mean.high,
        "against": cell.against,
        "pairs": cell.pairs,
        "lost": cell.lost,
        "mean_of_pairs": cell.mean_of_pairs,
        "against_mean_of_pairs": cell.against_mean_of_pairs,
        "difference": difference and difference.mean,
        "difference_low": difference and difference.low,
        "difference_high": difference and difference.high,
        "wins": cell.wins,
        "ties": cell.ties,
        "losses": cell.losses,
    }


def document(found: Comparison) -> dict[str, Any]:
    """The same as JSON's types."""
    return {
        "variants": [{"variant": one, "against": other} for one, other in found.against.items()],
        "bounds": dict(found.bounds),
        "regressions": found.regressions,
        "cells": [_flat(cell) for cell in found.cells],
        "correlations": [
            {
                **dict(zip(("protocol", "judge", "measure"), one.measure, strict=True)),
                "with": one.with_measure[2],
                "variants": one.variants,
                "rho": one.rho.mean,
                "low": one.rho.low,
                "high": one.rho.high,
            }
            for one in found.correlations
        ],
    }


def json_file(found: Comparison) -> bytes:
    """``document`` as a file."""
    return (json.dumps(document(found), indent=2, allow_nan=False) + "\n").encode()


def csv_file(found: Comparison) -> bytes:
    """A row for each cell."""
    sink = io.StringIO(newline="")
    rows = [_flat(cell) for cell in found.cells]
    writer = csv.writer(sink)
    writer.writerow(rows[0])
    writer.writerows([csv_cell(value) for value in row.values()] for row in rows)
    return sink.getvalue().encode("utf-8", errors="replace")


def markdown_file(found: Comparison) -> bytes:
    """``markdown`` as a file."""
    return markdown(found).encode("utf-8", errors="replace")
