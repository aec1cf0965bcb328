"""A comparison as LaTeX: a table of means for each protocol, with the rules of booktabs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from components.results.comparison_files import ABOUT_MEANS, Block, blocks, heading, mean_text
from eval.compare import Cell, Comparison
from eval.published import published

_ESCAPES = {
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "×": r"$\times$",
    "⁻³": r"$^{-3}$",
    "–": "--",
}
_SPECIAL = re.compile("|".join(map(re.escape, _ESCAPES)))


def latex(found: Comparison) -> bytes:
    """Tables of means over all categories, published figures in italics below a rule of their own.

    Everything that LaTeX would obey is escaped: names are hostile.
    """
    lines = ["% needs \\usepackage{booktabs}"]
    for block in blocks(found):
        lines += ["", *_table(block)]
    return ("\n".join(lines) + "\n").encode("utf-8", errors="replace")


def _table(block: Block) -> Iterator[str]:
    others = published(block.protocol)
    yield r"\begin{table}"
    yield r"\centering"
    yield rf"\begin{{tabular}}{{l{'r' * len(block.measures)}}}"
    yield r"\toprule"
    titles = [_text(heading(block.protocol, name)) for name in block.measures]
    yield f"Variant & {' & '.join(titles)} \\\\"
    yield r"\midrule"
    for (category, variant), cells in block.rows.items():
        if category is None:
            texts = [_mean(cells.get(name)) for name in block.measures]
            yield f"{_text(variant)} & {' & '.join(texts)} \\\\"
    if others:
        yield r"\midrule"
    for one in others:
        figures = (one.values.get(name) for name in block.measures)
        texts = ["--" if figure is None else f"\\textit{{{_text(figure)}}}" for figure in figures]
        yield f"\\textit{{{_text(one.method)}}} (published) & {' & '.join(texts)} \\\\"
    yield r"\bottomrule"
    yield r"\end{tabular}"
    sources = dict.fromkeys(one.source for one in others)
    about = f" Published figures: {'; '.join(sources)}, of other clips." if sources else ""
    yield rf"\caption{{{_text(f'{block.label}. {ABOUT_MEANS}{about}')}}}"
    yield r"\end{table}"


def _mean(cell: Cell | None) -> str:
    mean, _, interval = mean_text(cell).partition(" ")
    small = f" {{\\scriptsize {_text(interval)}}}" if interval else ""
    return f"{_text(mean)}{small}"


def _text(text: str) -> str:
    shown = "".join(mark if mark.isprintable() else " " for mark in text)
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], shown)
