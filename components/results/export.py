"""The scored edits as one table, for other programs and for people."""

from __future__ import annotations

import csv
import datetime as dt
import functools
import html
import io
import itertools
import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from components.errors import TransientError, UserError
from components.results.scored import ScoredEdits, Selection, Variants
from components.storage.address import parse_uri
from components.storage.open import open_store
from components.storage.store import Store
from components.storage.tables import Row
from eval.protocols.registry import shown

_Writer = TypeVar("_Writer")

_FROM_SCORE = ("protocol", "score_model", "score_revision")
_FIRST = (
    *("video_id", "edit_id", "category", "source_prompt", "prompt", "variant", "method"),
    "protocol",
)
_LAST = (
    *("reasons", "seconds", "seed", "num_frames", "fps", "base_model", "base_revision"),
    *("score_model", "score_revision"),
    *("video_uri", "sha256", "video_key", "adapter_key", "edit_key"),
    *("config_hash", "code_version", "device", "created_at"),
)

_READABLE = ("category", "prompt", "protocol")
_NUMBERS = ("seconds", "fps")
_WHOLE_NUMBERS = ("seed", "num_frames")
_TIMES = ("created_at",)
_GROUP = 10_000
"""Rows of a row group of Parquet."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def score_table(store: Store, chosen: Selection | Variants | None = None) -> list[Row]:
    """Join edits and scores: one row for each variant, edit, protocol and model.

    ``values`` and ``reasons`` are dicts by measure, as in ``scores``. An edit without a score has
    one row without any, whose protocol and model are none.

    Args:
        store: The run's store.
        chosen: What counts, of a run without variants or of each variant; none means every row.
    """
    return list(ScoreRows(store, chosen))


class ScoreRows:
    """The rows of ``score_table``, made anew each time they are gone through."""

    def __init__(self, store: Store, chosen: Selection | Variants | None = None) -> None:
        """See ``score_table``."""
        self._edits = ScoredEdits(store, Selection() if chosen is None else chosen)

    def __iter__(self) -> Iterator[Row]:
        unscored: Row = {**dict.fromkeys(_FROM_SCORE), "values": {}, "reasons": {}}
        for one in self._edits:
            made = one.edit | {"variant": one.variant, "method": one.method}
            for score in one.scores or [unscored]:
                joined = made | {name: score[name] for name in unscored}
                yield {name: joined[name] for name in (*_FIRST, "values", *_LAST)}


def measures(rows: Iterable[Row]) -> tuple[str, ...]:
    """The measures of a table's protocols, in their order."""
    found: dict[str, set[str]] = {}
    for row in rows:
        if row["protocol"] is not None:
            found.setdefault(row["protocol"], set()).update(row["values"])
    names = (name for protocol in sorted(found) for name in shown(protocol, found[protocol]))
    return tuple(dict.fromkeys(names))


def columns(rows: Iterable[Row]) -> tuple[str, ...]:
    """The columns of an exported table, with one for each measure of its protocols.

    ``variant`` is empty in a run that has none; ``reasons`` is a JSON object that says why a
    measure has no value, by its name. ``seconds``, ``device`` and ``created_at`` are those of
    sampling the edit; ``video_uri`` is relative to the run's root.
    """
    return (*_FIRST, *measures(rows), *_LAST)


def _flat(row: Row) -> Row:
    """A row as an exported table has it."""
    reasons = json.dumps(row["reasons"], ensure_ascii=False) if row["reasons"] else None
    return {**row["values"], **row, "reasons": reasons}


def export(rows: Iterable[Row], target: str) -> int:
    """Write a table, row by row; the suffix says how. The file appears whole or not at all.

    Args:
        rows: From ``score_table`` or a ``ScoreRows``; they are gone through more than once.
        target: A local path or ``s3://bucket/key`` that ends in .parquet, .csv, .jsonl or .md.

    Returns:
        How many rows there are.

    Raises:
        UserError: another suffix or scheme, or the target cannot be written.
    """
    writers = {".parquet": _parquet, ".csv": _csv, ".jsonl": _jsonl, ".md": _markdown}
    write = chosen_writer(writers, target, "scores")
    count = itertools.count()
    table = _Table(
        columns(rows),
        any(row["variant"] for row in rows),
        (_flat(row) for row, _ in zip(rows, count, strict=False)),
    )
    write_whole(target, functools.partial(write, table))
    return next(count)


@dataclass(frozen=True, slots=True)
class _Table:
    """What is written."""

    names: Sequence[str]
    """Of its columns."""
    several: bool
    """Whether the run has variants."""
    rows: Iterator[Row]
    """As ``_flat`` makes them."""

    @property
    def measures(self) -> list[str]:
        """The columns that are numbers of a protocol."""
        return [name for name in self.names if name not in {*_FIRST, *_LAST}]


def chosen_writer(writers: Mapping[str, _Writer], target: str, what: str) -> _Writer:
    """What makes a file of that name: the suffix says how.

    Args:
        writers: By suffix.
        target: A path or address.
        what: Is to be written, for messages.

    Raises:
        UserError: the suffix is none of the writers'.
    """
    suffix = Path(target).suffix.lower()
    if suffix not in writers:
        raise UserError(
            f"cannot write {what} to {target!r}: its suffix is {suffix!r}, but must be one of "
            f"{', '.join(writers)}"
        )
    return writers[suffix]


def number(value: float | None) -> str:
    """Two decimals, or a dash where there is none."""
    return "–" if value is None or math.isnan(value) else f"{value:.2f}"


def _parquet(table: _Table, sink: BinaryIO) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        **dict.fromkeys((*table.measures, *_NUMBERS), pa.float64()),
        **dict.fromkeys(_WHOLE_NUMBERS, pa.int64()),
        **dict.fromkeys(_TIMES, pa.timestamp("us", tz="UTC")),
    }
    schema = pa.schema([(name, types.get(name, pa.string())) for name in table.names])
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        while some := list(itertools.islice(table.rows, _GROUP)):
            writer.write_table(pa.Table.from_pylist(some, schema=schema))


def _csv(table: _Table, sink: BinaryIO) -> None:
    text = io.TextIOWrapper(sink, "utf-8", errors="replace", newline="")
    writer = csv.writer(text)
    writer.writerow(table.names)
    writer.writerows([csv_cell(row.get(name)) for name in table.names] for row in table.rows)
    text.detach()  # flushes, and leaves the file open


def csv_cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: text like one gets a ``'`` before it."""
    value = _json_value(value)
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return f"'{value}"
    return value


def _jsonl(table: _Table, sink: BinaryIO) -> None:
    for row in table.rows:
        document = {name: _json_value(row.get(name)) for name in table.names}
        sink.write(_utf8(json.dumps(document, allow_nan=False) + "\n"))


def _json_value(value: Any) -> Any:
    """JSON knows neither times nor NaN: ISO 8601, and null as for every missing score."""
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _markdown(table: _Table, sink: BinaryIO) -> None:
    names = ("video_id", "edit_id", *(["variant"] if table.several else []), *_READABLE)
    numbers = (*table.measures, "seconds")
    rules = [*("---" for _ in names), *("---:" for _ in numbers)]
    cells = (
        [*(markdown_cell(row[name]) for name in names), *(number(row.get(n)) for n in numbers)]
        for row in table.rows
    )
    sink.writelines(
        _utf8(f"| {' | '.join(line)} |\n")
        for line in itertools.chain([[*names, *numbers], rules], cells)
    )


def markdown_cell(value: Any) -> str:
    """Text that breaks no table and is neither markup nor HTML; a dash for none."""
    if value is None:
        return "–"
    text = " ".join(str(value).split())
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", html.escape(text, quote=False))


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", errors="replace")


def write_whole(target: str, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Write a file or object that appears whole or not at all.

    Args:
        target: A local path, ``file://`` or ``s3://`` address.
        content: What it holds, or what writes that into an open file.

    Raises:
        UserError: another scheme than a path, file:// or s3://, or it cannot be written.
    """
    address = parse_uri(target)
    if address.on_s3:
        folder, _, name = target.rpartition("/")
        try:
            _upload(open_store(folder), name, content)
        except (TransientError, ValueError) as error:
            raise UserError(f"cannot export to {target!r}: {error}") from error
        return
    path = Path(address.location)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=".tmp-", dir=path.parent, delete=False) as handle:
            try:
                _fill(handle, content)
                os.fsync(handle.fileno())
                Path(handle.name).chmod(0o644)
                Path(handle.name).replace(path)
            except BaseException:
                Path(handle.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise UserError(
            f"cannot export to {target!r} ({error.strerror}): give a path that can be written"
        ) from error


def _fill(handle: Any, content: bytes | Callable[[BinaryIO], object]) -> None:
    if isinstance(content, bytes):
        handle.write(content)
    else:
        content(handle)
    handle.flush()


def _upload(store: Store, name: str, content: bytes | Callable[[BinaryIO], object]) -> None:
    if isinstance(content, bytes):
        store.write_bytes(name, content)
        return
    with tempfile.NamedTemporaryFile(prefix="tav-export-") as handle:
        _fill(handle, content)
        store.write_file(name, Path(handle.name))
