"""Parquet tables of a run: appended part by part, read as a whole.

The row is the commit. Objects that a row names are written before it, and a part file is immutable
and appears whole, so a crash leaves at most orphans and never half a row. A part's name ends in the
SHA-256 of its content: Parquet alone does not notice every damaged byte.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import pyarrow as pa

from components.errors import TransientError
from components.storage.parts import encode_part, part_digest, read_part
from components.storage.schemas import CONTENT, KEYS, SCHEMAS
from components.storage.store import ObjectInfo, Store

Row = dict[str, Any]

_LISTINGS = 5
"""Tries to list and read a table while compaction removes parts from it."""


def append_rows(store: Store, table: str, rows: Sequence[Row]) -> str:
    """Commit rows as one new part file and return its path.

    Raises:
        KeyError: no such table.
        ValueError: a row lacks a column, has one too many, or a value of the wrong type.
    """
    schema = SCHEMAS[table]
    for row in rows:
        if wrong := set(row) ^ set(schema.names):
            raise ValueError(f"row of {table!r} lacks or adds the columns {sorted(wrong)}")
    data = encode_part(_to_arrow(table, rows, schema))
    # Time first, so that a listing in order of names is a listing in order of commits.
    path = f"tables/{table}/part-{time.time_ns():020d}-{part_digest(data)}.parquet"
    store.write_bytes(path, data)
    return path


def _to_arrow(table: str, rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    arrays = []
    for column in schema:
        try:
            arrays.append(pa.array([row[column.name] for row in rows], column.type))
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"a row of {table!r} has a {column.name} that is no {column.type}: {error}"
            ) from error
    return pa.Table.from_arrays(arrays, schema=schema)


def read_table(
    store: Store, table: str, columns: Sequence[str] | None = None, *, with_part: bool = False
) -> list[Row]:
    """All rows of a table in order of commit, of each key its last one only, at its place.

    A key whose last row withdraws it (see ``schemas.CONTENT``) is left out. ``failures`` has no
    key: all its rows are returned.

    Args:
        store: The run's store.
        table: The table's name.
        columns: The columns wanted beside the key's; none means all.
        with_part: Add the path of the part that holds the row, as ``part``.

    Raises:
        UserError: a part is damaged or of another version of the tables; the message names it.
        TransientError: parts that are listed cannot be found, time and again.
    """
    keys = KEYS.get(table, ())
    wanted = {*(columns if columns is not None else SCHEMAS[table].names), *keys}
    content = CONTENT.get(table)
    rows: list[Row] = []
    for path, commit in read_commits(store, table, sorted({*wanted, *filter(None, [content])})):
        if with_part:
            for row in commit:
                row["part"] = path
        rows.extend(commit)
    if not keys:
        return rows
    # At the place of its last row, for a source may become what it was before.
    latest = sorted(dict(zip(map(itemgetter(*keys), rows), itertools.count())).values())
    current = [
        row for row in map(rows.__getitem__, latest) if content is None or row[content] is not None
    ]
    if content is not None and content not in wanted:
        for row in current:
            del row[content]
    return current


def read_commits(
    store: Store, table: str, columns: Sequence[str] | None = None, known: set[str] | None = None
) -> list[tuple[str, list[Row]]]:
    """The rows of each commit, in order of commit, with the path of the part that holds them.

    Args:
        store: The run's store.
        table: The table's name.
        columns: The columns wanted; none means all.
        known: Names of commits and merged parts to leave out; those that are read are added.

    Raises:
        UserError: a part is damaged or of another version of the tables; the message names it.
        TransientError: parts that are listed cannot be found, time and again.
    """
    known = set() if known is None else known
    found: dict[str, tuple[str, list[Row]]] = {}
    gone = ""
    for _ in range(_LISTINGS):
        gone = ""
        for info in _parts(store, table):
            path = info.path
            if (name := path.rpartition("/")[2]) in known:
                continue
            try:
                part = read_part(store, table, path, columns, info.size)
            except FileNotFoundError:
                gone = path  # replaced since the listing: a new one names the part that holds it
                continue
            # At once: a slice for each commit would take minutes.
            rows = part.rows.to_pylist(maps_as_pydicts="strict")
            for commit, start, end in part.spans():
                if commit not in known:
                    found[commit] = (path, rows[start:end])
            known.update(name for name, _ in part.commits)
            known.add(name)
        if not gone:
            return [found[name] for name in sorted(found)]
    raise TransientError(f"{store.root}/{gone} is listed, but cannot be found: run again")


def list_parts(store: Store, table: str) -> list[tuple[str, str]]:
    """Names and paths of a table's parts, merged ones first."""
    return [(info.path.rpartition("/")[2], info.path) for info in _parts(store, table)]


def _parts(store: Store, table: str) -> list[ObjectInfo]:
    return [info for info in store.list(f"tables/{table}") if info.path.endswith(".parquet")]
