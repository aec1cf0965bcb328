"""Manifests of rows (CSV and Parquet): one row per edit, the rows of a video share its id."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Iterable, Sequence
from typing import Any

from components.syntax.tree import Node, Problems, as_integer, id_text, is_absent, to_node

logger = logging.getLogger(__name__)

FRAME_FIELDS = ("num_frames", "selection", "start", "stride", "width", "height", "fit", "fps")
_TEXT_COLUMNS = ("uri", "mask", "maps", "group", "prompt")
_VIDEO_COLUMNS = (*_TEXT_COLUMNS, *FRAME_FIELDS)
_EDIT_COLUMNS = {
    "edit_id": "id",
    "category": "category",
    "edit_prompt": "prompt",
    "replace": "replace",
}
COLUMNS = ("id", *_VIDEO_COLUMNS, *_EDIT_COLUMNS)
"""``replace`` is written ``old=new; other=another``. An empty cell is a value not given."""
NESTED_COLUMNS = ("frames", "edits")
"""Columns of a mapping and of a list of mappings, as in JSON lines; of Parquet alone."""
MAX_ROWS = 2_000_000
_INDEX = re.compile(r"(Unnamed: \d+(\.\d+)*|__index_level_\d+__|index|level_\d+)?")
"""Columns that pandas adds when it saves its index, or that a spreadsheet leaves empty."""
_WHOLE = re.compile(r"\s*\d+(\.0+)?\s*")
_SHOWN_CHARS = 40

Row = dict[str, Any]


class Columns:
    """A header, checked; it makes mappings of the rows below it.

    Columns without a name of their own that hold nothing but row numbers are left out.
    """

    def __init__(
        self, names: Sequence[str], problems: Problems, nested: Sequence[str] = ()
    ) -> None:
        """Check a header.

        Raises:
            ManifestError: it holds unknown columns, or one twice.
        """
        self.names = names
        self._problems = problems
        self._left_out = {at: name for at, name in enumerate(names) if _INDEX.fullmatch(name)}
        kept = [name for at, name in enumerate(names) if at not in self._left_out]
        for name in kept:
            if name not in (*COLUMNS, *nested):
                near = difflib.get_close_matches(name.strip().casefold(), COLUMNS, n=1)
                known = f"known columns: {', '.join(COLUMNS)}"
                hint = f"did you mean {near[0]!r}?" if near else known
                problems.add(1, f"unknown column {_short(name)}; {hint}")
        for name in sorted({name for name in kept if kept.count(name) > 1}):
            problems.add(1, f"the column {name!r} is given twice: keep one")
        problems.raise_any()

    def row(self, line: int, values: Sequence[Any]) -> Row:
        """The values that are given, by name; a row may end before the header does."""
        found: Row = {}
        for at, (name, value) in enumerate(zip(self.names, values, strict=False)):
            if is_absent(value):
                continue
            if at not in self._left_out:
                found[name] = value
            elif not _WHOLE.fullmatch(str(value)) or isinstance(value, bool):
                self._problems.add(
                    line,
                    f"the column {name!r} (number {at + 1}) holds {_short(value)}, but its name "
                    "says nothing: name it in the header, or remove it",
                )
        return found

    def tell(self) -> None:
        """Say which columns were left out."""
        if numbers := [name for name in self._left_out.values() if name]:
            logger.warning(
                "%s: left out the column(s) %s, which only count rows: save with index=False",
                self._problems.source,
                ", ".join(map(repr, numbers)),
            )
        elif self._left_out:
            logger.warning(
                "%s: left out %d column(s) without a name, which are empty or only count rows "
                "(pandas: save with index=False)",
                self._problems.source,
                len(self._left_out),
            )


def tree_of_rows(rows: Iterable[tuple[int, Row]], problems: Problems) -> Node:
    """Group rows into videos, in the order in which their ids first appear."""
    videos: dict[Any, Node] = {}
    for count, (line, row) in enumerate(rows):
        if count >= MAX_ROWS:
            problems.fail(line, f"has more than {MAX_ROWS} rows: split the manifest")
        name = id_text(row.get("id"))
        key = name if isinstance(name, str) else ("no id", line)
        shared = _video_values(row)
        if key not in videos:
            known = {} if name is None else {"id": Node(name, line)}
            known |= {what: to_node(value, line) for what, value in shared.items()}
            videos[key] = Node(known | {"edits": Node([], line)}, line)
        else:
            _check_agreement(videos[key], shared, line, problems)
        videos[key].value["edits"].value.extend(
            _edit_node(edit, line, problems) for edit in _edits(row, line, problems)
        )
    return Node({"videos": Node(list(videos.values()), 1)}, 1)


def _video_values(row: Row) -> Row:
    values = {name: row[name] for name in _TEXT_COLUMNS if name in row}
    frames = {name: as_integer(row[name]) for name in FRAME_FIELDS if name in row}
    nested = row.get("frames")
    if nested is not None:
        return values | {"frames": nested | frames if isinstance(nested, dict) else nested}
    return values | ({"frames": frames} if frames else {})


def _check_agreement(video: Node, shared: Row, line: int, problems: Problems) -> None:
    """A later row may leave a video's columns empty, but not say something else."""
    for what, value in shared.items():
        first = video.value.get(what)
        if first is None or to_node(value, first.line) != first:
            problems.add(
                line,
                f"the video's {what} is not that of {problems.unit} {video.line}, which has the "
                "same id: make them equal, or leave it empty here",
            )


def _edits(row: Row, line: int, problems: Problems) -> list[Any]:
    """The edits of a row: those of a list, and the one of the columns."""
    edit = {to: row[column] for column, to in _EDIT_COLUMNS.items() if column in row}
    nested = row.get("edits", [])
    if not isinstance(nested, list):
        problems.add(line, f"edits is {_short(nested)}, but must be a list")
        nested = []
    return [*nested, *([edit] if edit else [])]


def _edit_node(edit: Any, line: int, problems: Problems) -> Node:
    text = edit.get("replace") if isinstance(edit, dict) else None
    if isinstance(text, str):
        replace: dict[str, str] = {}
        for pair in text.split(";"):
            old, equals, new = (part.strip() for part in pair.partition("="))
            if not equals or old in replace:
                problems.add(line, f"replace holds {pair!r}: write distinct words as old=new; …")
            replace[old] = new
        edit = edit | {"replace": replace}
    elif isinstance(text, list) and all(isinstance(pair, tuple) for pair in text):
        edit = edit | {"replace": dict(text)}  # as pyarrow gives a column of maps
    return to_node(edit, line)


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN_CHARS else f"{shown[:_SHOWN_CHARS]}…"
