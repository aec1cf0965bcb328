"""Reads CSV manifests, as spreadsheets and pandas write them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

from components.manifest.rows import COLUMNS, FRAME_FIELDS, Columns, Row, tree_of_rows
from components.syntax.tree import MISSING_WORDS, Node, Problems

DELIMITERS = ",;\t|"
"""The one that makes known columns of the header is taken; of equals the first."""
_SEP_LINE = re.compile(rf"sep=([{DELIMITERS}])\r?\n")
"""Excel's own way to name the delimiter, before the header."""
_SPREADSHEET_ERROR = re.compile(r"#(N/A|REF!|VALUE!|NAME\?|DIV/0!|NUM!|NULL!|SPILL!|CALC!)")
_WHOLE = re.compile(r"\s*(-?\d+)\.0+\s*")


def csv_tree(text: str, problems: Problems) -> Node:
    """Read a CSV manifest with a header line.

    Raises:
        ManifestError: there is no header, or it holds unknown columns.
    """
    named = _SEP_LINE.match(text)
    delimiter = named[1] if named else _delimiter(text)
    source = io.StringIO(text, newline="")
    reader = csv.reader(source, delimiter=delimiter, strict=True, skipinitialspace=True)
    rows = _csv_rows(reader, problems)
    if named:
        next(rows)
    columns = Columns([name.strip() for name in next(rows, (1, []))[1]], problems)

    def kept() -> Iterator[tuple[int, Row]]:
        for line, cells in rows:
            row = columns.row(line, [_value(cell) for cell in cells])
            extra = [cell for cell in cells[len(columns.names) :] if cell.strip()]
            if extra:
                problems.add(
                    line,
                    f"has {len(cells)} cells, but the header has {len(columns.names)}: quote cells "
                    f"that hold {_shown(delimiter)}",
                )
            elif row:
                yield line, {name: _cell(name, row[name], line, problems) for name in row}
        columns.tell()

    return tree_of_rows(kept(), problems)


def _delimiter(text: str) -> str:
    header = next((line for line in io.StringIO(text, newline="") if line.strip()), "")

    def known(delimiter: str) -> int:
        try:
            cells = next(csv.reader([header], delimiter=delimiter, skipinitialspace=True), [])
        except csv.Error:
            return 0
        return sum(cell.strip().casefold() in COLUMNS for cell in cells)

    return max(DELIMITERS, key=known)


def _csv_rows(reader: Any, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1  # a quoted cell may span lines: name the row's first
    except csv.Error as error:
        problems.add(line, f"is no CSV: {error}")


def _value(cell: str) -> str | None:
    """The cell as it stands, or none where it is a value not given."""
    return None if cell.strip() in {"", *MISSING_WORDS} else cell


def _cell(name: str, value: Any, line: int, problems: Problems) -> Any:
    if _SPREADSHEET_ERROR.fullmatch(value.strip()):
        problems.add(
            line,
            f"the column {name!r} holds the spreadsheet's error {value.strip()}: mend its formula, "
            "or leave the cell empty",
        )
    whole = _WHOLE.fullmatch(value) if name in FRAME_FIELDS else None
    return whole[1] if whole else value


def _shown(delimiter: str) -> str:
    return {",": "commas", ";": "semicolons", "\t": "tabs"}.get(delimiter, delimiter)
