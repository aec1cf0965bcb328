"""Reads CSV and Parquet manifests: one row per edit, the rows of a video share its id."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from components.manifest.tree import Node, Problems, to_node

FRAME_FIELDS = ("num_frames", "selection", "start", "stride", "width", "height", "fit")
_VIDEO_COLUMNS = ("uri", "prompt", *FRAME_FIELDS)
_EDIT_COLUMNS = {
    "edit_id": "id",
    "category": "category",
    "edit_prompt": "prompt",
    "replace": "replace",
}
COLUMNS = ("id", *_VIDEO_COLUMNS, *_EDIT_COLUMNS)
"""``replace`` is written ``old=new; other=another``. An empty cell is a value not given."""
MAX_ROWS = 2_000_000
MAX_UNPACKED_BYTES = 1 << 30
"""Bytes of a Parquet manifest's columns once unpacked."""

_Row = dict[str, Any]


def csv_tree(text: str, problems: Problems) -> Node:
    """Read a CSV manifest with a header line.

    Raises:
        ManifestError: there is no header, or it holds unknown columns.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    rows = _csv_rows(reader, problems)
    header = next(rows, (1, []))[1]
    names = [name.strip() for name in header]
    _check_columns(names, problems)

    def pairs() -> Iterator[tuple[int, _Row]]:
        for line, cells in rows:
            if len(cells) != len(names):
                problems.add(
                    line,
                    f"has {len(cells)} cells, but the header has {len(names)}: quote cells that "
                    "hold commas",
                )
            elif any(cells):
                yield line, {n: cell for n, cell in zip(names, cells, strict=True) if cell.strip()}

    return _tree(pairs(), problems)


def _csv_rows(reader: Any, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1  # a quoted cell may span lines: name the row's first
    except csv.Error as error:
        problems.add(line, f"is no CSV: {error}")


def parquet_tree(data: bytes, problems: Problems) -> Node:
    """Read a Parquet manifest.

    Raises:
        ManifestError: it is damaged, too large when unpacked, or holds unknown columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    def pairs(file: Any) -> Iterator[tuple[int, _Row]]:
        row_number, unpacked = 0, 0
        for batch in file.iter_batches(batch_size=1024):
            unpacked += batch.nbytes
            if unpacked > MAX_UNPACKED_BYTES:
                problems.fail(0, f"unpacks to over {MAX_UNPACKED_BYTES} bytes: split it")
            for row in batch.to_pylist():
                row_number += 1
                yield row_number, {name: v for name, v in row.items() if v not in (None, "")}

    try:
        file = pq.ParquetFile(io.BytesIO(data))
        _check_columns(file.schema_arrow.names, problems)
        return _tree(pairs(file), problems)
    except (pa.ArrowException, OSError, ValueError) as error:
        problems.fail(0, f"is no readable Parquet: {error}")


def _check_columns(names: Sequence[str], problems: Problems) -> None:
    for name in names:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known columns: {', '.join(COLUMNS)}"
            problems.add(1, f"unknown column {name!r}; {hint}")
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.add(1, f"the column {name!r} is given twice: keep one")
    problems.raise_any()


def _tree(rows: Iterable[tuple[int, _Row]], problems: Problems) -> Node:
    """Group rows into videos, in the order in which their ids first appear."""
    videos: dict[Any, Node] = {}
    for count, (line, row) in enumerate(rows):
        if count >= MAX_ROWS:
            problems.fail(line, f"has more than {MAX_ROWS} rows: split the manifest")
        name = row.get("id")
        key = name if isinstance(name, str) else ("no id", line)
        shared = _video_values(row)
        if key not in videos:
            known = {} if name is None else {"id": Node(name, line)}
            known |= {what: to_node(value, line) for what, value in shared.items()}
            videos[key] = Node(known | {"edits": Node([], line)}, line)
        else:
            _check_agreement(videos[key], shared, line, problems)
        edit = {to: row[column] for column, to in _EDIT_COLUMNS.items() if column in row}
        if edit:
            videos[key].value["edits"].value.append(_edit_node(edit, line, problems))
    return Node({"videos": Node(list(videos.values()), 1)}, 1)


def _video_values(row: _Row) -> _Row:
    values = {name: row[name] for name in ("uri", "prompt") if name in row}
    frames = {name: row[name] for name in FRAME_FIELDS if name in row}
    return values | ({"frames": frames} if frames else {})


def _check_agreement(video: Node, shared: _Row, line: int, problems: Problems) -> None:
    """A later row may leave a video's columns empty, but not say something else."""
    for what, value in shared.items():
        first = video.value.get(what)
        if first is None or to_node(value, first.line) != first:
            problems.add(
                line,
                f"the video's {what} is not that of {problems.unit} {video.line}, which has the "
                "same id: make them equal, or leave it empty here",
            )


def _edit_node(edit: _Row, line: int, problems: Problems) -> Node:
    text = edit.get("replace")
    if isinstance(text, str):
        replace: dict[str, str] = {}
        for pair in text.split(";"):
            old, equals, new = (part.strip() for part in pair.partition("="))
            if not equals or old in replace:
                problems.add(line, f"replace holds {pair!r}: write distinct words as old=new; …")
            replace[old] = new
        edit = edit | {"replace": replace}
    return to_node(edit, line)
