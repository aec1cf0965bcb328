"""The Parquet files of a table: the rows of one commit each, or of several that were merged.

A commit is known by the name of the part that it was written as. A merged part says in its Parquet
metadata which commits it holds, so a reader counts each commit once, in its own place, in whichever
and however many files it finds it.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
from typing_extensions import override

from components.errors import UserError
from components.storage.schemas import (
    MEASURES_OF_VERSION_2,
    OF_VERSION_1,
    READ_VERSIONS,
    SCHEMAS,
    TABLES_VERSION,
)
from components.storage.store import Store

COMMIT_NAME = re.compile(r"part-\d{20}-[0-9a-f]{32}\.parquet")
MERGED_NAME = re.compile(r"merged-[0-9a-f]{32}\.parquet")
"""Sorts before all names of commits, so that a listing tells first what need not be read."""

_COMMITS = "tav_commits"
_LARGE = 1 << 18
"""Bytes of a part from which on it pays to fetch some columns alone, and to use several threads.
One clip's latents are a megabyte, and planning needs their keys."""

Commits = tuple[tuple[str, int], ...]
"""Names of commits in order, each with the number of its rows."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file's content."""

    rows: pa.Table
    commits: Commits
    whole: bool
    """Whether the file has no columns but those that were read."""

    def spans(self) -> Iterator[tuple[str, int, int]]:
        """The name of each commit with its first row and the one after its last."""
        start = 0
        for name, count in self.commits:
            yield name, start, start + count
            start += count


def encode_part(rows: pa.Table, commits: Commits = ()) -> bytes:
    """A part as bytes, with the commits that it holds where it is a merged one."""
    sink = io.BytesIO()
    # Checksums of pages find damage where only some of them are read.
    with pq.ParquetWriter(
        sink, rows.schema, compression="zstd", write_page_checksum=True
    ) as writer:
        writer.write_table(rows)
        if commits:
            # Not in the schema's metadata, which Parquet stores twice.
            writer.add_key_value_metadata({_COMMITS: json.dumps(commits)})
    return sink.getvalue()


def part_digest(data: bytes) -> str:
    """What the name of a part with this content ends in."""
    return hashlib.sha256(data).hexdigest()[:32]


def read_part(
    store: Store, table: str, path: str, columns: Sequence[str] | None = None, size: int = 0
) -> Part:
    """Read one part file; a column that came after it was written is null.

    Args:
        store: The run's store.
        table: The table's name.
        path: The part's path.
        columns: The columns wanted; none means all.
        size: The part's bytes, where they are known: of a large one only what is wanted is read.

    Raises:
        FileNotFoundError: there is no such part (any more).
        UserError: it is damaged or of another version of the tables; the message names it.
    """
    name = path.removeprefix(f"tables/{table}/")
    wanted = [name for name in SCHEMAS[table].names if columns is None or name in columns]
    try:
        if columns is not None and size >= _LARGE:
            return _decode(_Ranges(store, path, size), size, name, table, wanted)
        data = store.read_bytes(path)
        _check_digest(data, name)
        return _decode(io.BytesIO(data), len(data), name, table, wanted)
    except FileNotFoundError:
        raise
    except _OtherVersionError as error:
        raise UserError(
            f"{store.root}/{path} is of tables version {error}, but this release reads "
            f"{', '.join(READ_VERSIONS)}: use the release that wrote it, or another run root"
        ) from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise unreadable(store, table, path, error) from error


def unreadable(store: Store, table: str, path: str, error: Exception) -> UserError:
    """What to tell of a part that is damaged."""
    return UserError(
        f"{store.root}/{path} is no readable part of table {table!r} ({error}): "
        "move it away and run again; its rows are then computed anew"
    )


class _OtherVersionError(Exception):
    pass


class _Ranges(io.RawIOBase):
    """An object of a store as a file that is fetched where it is read."""

    def __init__(self, store: Store, path: str, size: int) -> None:
        super().__init__()
        self._store = store
        self._path = path
        self._size = size
        self._at = 0

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}
        self._at = origin[whence] + offset
        return self._at

    @override
    def tell(self) -> int:
        return self._at

    @override
    def read(self, size: int = -1) -> bytes:
        stop = self._size if size < 0 else min(self._at + size, self._size)
        if stop <= self._at:
            return b""
        data = self._store.read_range(self._path, self._at, stop)
        self._at += len(data)
        return data


def _check_digest(data: bytes, name: str) -> None:
    named = re.search(r"-([0-9a-f]{32})\.parquet$", name)
    if named and named[1] != part_digest(data):
        raise pa.ArrowInvalid(f"its SHA-256 begins with {part_digest(data)}, its name says other")


def _decode(source: io.IOBase, size: int, name: str, table: str, wanted: Sequence[str]) -> Part:
    file = pq.ParquetFile(source, page_checksum_verification=True)
    found = file.schema_arrow
    version = (found.metadata or {}).get(b"tav_tables_version", b"none").decode()
    if version not in READ_VERSIONS:
        raise _OtherVersionError(version)
    fixed = OF_VERSION_1.get(table, {}) if version == "1" else {}
    old = version != TABLES_VERSION and table == "scores"
    measures = [name for name in MEASURES_OF_VERSION_2 if old and name in found.names]
    columns = [column for column in wanted if column in found.names]
    if "values" in wanted:
        columns += measures
    read = file.read(columns=columns, use_threads=size > _LARGE)
    count = file.metadata.num_rows

    def column(name: str) -> pa.Array | pa.ChunkedArray:
        if name in fixed:
            return pa.repeat(fixed[name], count)
        if old and name in ("values", "reasons"):
            return _maps(read.select(measures if name == "values" else []), name, count)
        return (
            read[name] if name in found.names else pa.nulls(count, SCHEMAS[table].field(name).type)
        )

    # The types are the file's own: only a merge insists on the table's.
    rows = pa.Table.from_arrays([column(name) for name in wanted], names=list(wanted))
    listed = (file.metadata.metadata or {}).get(_COMMITS.encode())
    commits = tuple((str(one), int(size)) for one, size in json.loads(listed)) if listed else ()
    unread = set(found.names) - set(wanted) - set(measures)
    return Part(rows, commits or ((name, count),), whole=not unread)


def _maps(columns: pa.Table, name: str, count: int) -> pa.Array:
    """A map for each row, of the columns that are not null there."""
    rows = columns.to_pylist() if columns.num_columns else [{}] * count
    pairs = [[(key, one) for key, one in row.items() if one is not None] for row in rows]
    return pa.array(pairs, SCHEMAS["scores"].field(name).type)
