"""Parquet tables of a run: appended part by part, read as a whole.

The row is the commit. Objects that a row names are written before it, and a part file is immutable
and appears whole, so a crash leaves at most orphans and never half a row. A part's name ends in the
SHA-256 of its content: Parquet alone does not notice every damaged byte.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.errors import TransientError
from components.storage.parts import Part, encode_part, part_digest, read_part, unreadable
from components.storage.schemas import CONTENT, KEYS, SCHEMAS
from components.storage.store import ObjectInfo, Store

Row = dict[str, Any]

_WIDE = 1 << 30
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
    return to_rows(read_arrow(store, table, columns, with_part=with_part))


def to_rows(table: pa.Table) -> list[Row]:
    """Arrow's rows as dictionaries."""
    rows: list[Row] = table.to_pylist(maps_as_pydicts="strict")
    return rows


class ReadArrow(Protocol):
    """Gives a table of one store as ``read_arrow`` does."""

    def __call__(
        self, table: str, columns: Sequence[str] | None = None, *, with_part: bool = False
    ) -> pa.Table:
        """See ``read_arrow``."""


def read_arrow(
    store: Store, table: str, columns: Sequence[str] | None = None, *, with_part: bool = False
) -> pa.Table:
    """The rows of ``read_table`` as Arrow, which takes a tenth of their memory.

    Args:
        store: The run's store.
        table: The table's name.
        columns: The columns wanted beside the key's; none means all.
        with_part: Add the path of the part that holds the row, as ``part``.

    Raises:
        UserError: a part is damaged or of another version of the tables; the message names it.
        TransientError: parts that are listed cannot be found, time and again.
    """
    return Following(store)(table, columns, with_part=with_part)


class Following:
    """Reads a store's tables again and again, each part once."""

    def __init__(self, store: Store) -> None:
        """Read nothing yet."""
        self._store = store
        self._parts: dict[tuple[str, ...], tuple[set[str], list[_New]]] = {}
        self._last: dict[tuple[str, ...], pa.Table] = {}

    def __call__(
        self, table: str, columns: Sequence[str] | None = None, *, with_part: bool = False
    ) -> pa.Table:
        """See ``read_arrow``."""
        wanted = {*(columns if columns is not None else SCHEMAS[table].names)}
        wanted |= {*KEYS.get(table, ())}
        names = [n for n in SCHEMAS[table].names if n in wanted or n == CONTENT.get(table)]
        asked = (table, *names)
        # Taken out meanwhile: after an error all is read again.
        known, parts = self._parts.pop(asked, (set(), []))
        new = [*_new_parts(self._store, table, names, known)]
        if new or asked not in self._last:
            parts += new
            self._last[asked] = _last_rows(_in_order(self._store, table, names, parts), table)
        self._parts[asked] = known, parts
        kept = [name for name in names if name in wanted]
        return self._last[asked].select([*kept, "part"] if with_part else kept)


def _last_rows(rows: pa.Table, table: str) -> pa.Table:
    """Of each key its last row, unless that withdraws it."""
    keys, content = KEYS.get(table, ()), CONTENT.get(table)
    if keys:
        # At the place of its last row, for a source may become what it was before.
        places = rows.select(keys).append_column("place", pa.array(np.arange(len(rows))))
        last = places.group_by(list(keys)).aggregate([("place", "max")])["place_max"]
        if len(last) < len(rows):
            rows = rows.take(last.sort())
    if content is not None:
        rows = rows.filter(pc.is_valid(rows[content])) if rows[content].null_count else rows
    return rows


def _in_order(store: Store, table: str, names: Sequence[str], parts: Sequence[_New]) -> pa.Table:
    """The rows of parts in order of commit, with the ``part`` of each."""
    schema = pa.schema([SCHEMAS[table].field(name) for name in names])
    places: dict[str, range] = {}
    found, first = [], 0
    for path, part, commits in parts:
        places |= {name: range(first + a, first + b) for name, a, b in commits}
        first += len(part.rows)
        try:
            rows = part.rows.cast(schema)  # the types are the file's own
        except pa.ArrowException as error:
            raise unreadable(store, table, path, error) from error
        named = pa.DictionaryArray.from_arrays(np.zeros(len(rows), np.int32), [path])
        found.append(rows.append_column("part", named))
    if not found:
        return schema.empty_table().append_column("part", pa.array([], pa.string()))
    rows = pa.concat_tables(found)
    order = np.fromiter(itertools.chain.from_iterable(places[n] for n in sorted(places)), np.int64)
    in_order = len(order) == first and bool((np.diff(order) == 1).all())
    return rows if in_order else wide(rows).take(pa.array(order))


def wide(rows: pa.Table) -> pa.Table:
    """The rows, in which text is of a type that may grow beyond 2 GiB if it could have to."""
    if rows.nbytes < _WIDE:
        return rows
    return rows.cast(
        pa.schema(
            field.with_type(pa.large_string()) if field.type == pa.string() else field
            for field in rows.schema
        )
    )


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
    found: dict[str, tuple[str, list[Row]]] = {}
    for path, part, commits in _new_parts(store, table, columns, set() if known is None else known):
        # At once: a slice for each commit would take minutes.
        rows = part.rows.to_pylist(maps_as_pydicts="strict")
        found |= {name: (path, rows[start:end]) for name, start, end in commits}
    return [found[name] for name in sorted(found)]


_New = tuple[str, Part, list[tuple[str, int, int]]]
"""A part with its path, and the spans of those of its commits that are new."""


def _new_parts(
    store: Store, table: str, columns: Sequence[str] | None, known: set[str]
) -> Iterator[_New]:
    """Read parts with commits that are not known, and note these."""
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
            fresh = [span for span in part.spans() if span[0] not in known]
            known.update(name for name, _ in part.commits)
            known.add(name)
            yield path, part, fresh
        if not gone:
            return
    raise TransientError(f"{store.root}/{gone} is listed, but cannot be found: run again")


def list_parts(store: Store, table: str) -> list[tuple[str, str]]:
    """Names and paths of a table's parts, merged ones first."""
    return [(info.path.rpartition("/")[2], info.path) for info in _parts(store, table)]


def _parts(store: Store, table: str) -> list[ObjectInfo]:
    return [info for info in store.list(f"tables/{table}") if info.path.endswith(".parquet")]
