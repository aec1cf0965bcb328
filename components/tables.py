"""Parquet tables of a run: appended part by part, read as a whole.

The row is the commit. Objects that a row names are written before it, and a part file is immutable
and appears whole, so a crash leaves at most orphans and never half a row. A part's name ends in the
SHA-256 of its content: Parquet alone does not notice every damaged byte.
"""

from __future__ import annotations

import hashlib
import io
import re
import time
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.errors import UserError
from components.schemas import KEYS, SCHEMAS, TABLES_VERSION
from components.store import Store

Row = dict[str, Any]


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
    sink = io.BytesIO()
    pq.write_table(_to_arrow(table, rows, schema), sink, compression="zstd")
    data = sink.getvalue()
    # Time first, so that a listing in order of names is a listing in order of commits.
    path = f"tables/{table}/part-{time.time_ns():020d}-{_digest(data)}.parquet"
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


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def read_table(
    store: Store, table: str, columns: Sequence[str] | None = None, *, with_part: bool = False
) -> list[Row]:
    """All rows of a table in order of commit, the last one of each key only.

    ``failures`` has no key: all its rows are returned.

    Args:
        store: The run's store.
        table: The table's name.
        columns: The columns wanted beside the key's; none means all.
        with_part: Add the path of the part that holds the row, as ``part``.

    Raises:
        UserError: a part is damaged or of another version of the tables; the message names it.
    """
    rows: list[Row] = []
    wanted = list(columns) if columns is not None else SCHEMAS[table].names
    keys = KEYS.get(table, ())
    for info in store.list(f"tables/{table}"):
        if info.path.endswith(".parquet"):
            part = read_part(store, table, info.path, sorted({*wanted, *keys}))
            rows.extend(row | {"part": info.path} if with_part else row for row in part)
    if not keys:
        return rows
    latest = {tuple(row[name] for name in keys): row for row in rows}
    return list(latest.values())


def read_part(store: Store, table: str, path: str, columns: Sequence[str] | None) -> list[Row]:
    """The rows of one part file, in its own order; see ``read_table``.

    A column that came after the part was written is none in its rows.
    """
    data = store.read_bytes(path)
    named = re.search(r"-([0-9a-f]{32})\.parquet$", path)
    try:
        if named and named[1] != _digest(data):
            raise pa.ArrowInvalid(f"its SHA-256 begins with {_digest(data)}, its name says other")
        part = pq.ParquetFile(io.BytesIO(data))
        version = (part.schema_arrow.metadata or {}).get(b"tav_tables_version", b"none").decode()
        if version != TABLES_VERSION:
            raise UserError(
                f"{store.root}/{path} is of tables version {version}, but this release reads "
                f"{TABLES_VERSION}: use the release that wrote it, or another run root"
            )
        rows: list[Row] = part.read(columns=columns and list(columns)).to_pylist()
        wanted = set(SCHEMAS[table].names).intersection(columns or SCHEMAS[table].names)
        if absent := wanted - set(part.schema_arrow.names):
            rows = [row | dict.fromkeys(absent) for row in rows]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{store.root}/{path} is no readable part of table {table!r} ({error}): "
            "move it away and run again; its rows are then computed anew"
        ) from error
    return rows
