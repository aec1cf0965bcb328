"""The scored edits as one table, for other programs and for people."""

from __future__ import annotations

import csv
import datetime as dt
import html
import io
import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from components.errors import TransientError, UserError
from components.results.scored import Selection, Variants, scored_edits
from components.storage.address import parse_uri
from components.storage.open import open_store
from components.storage.store import Store
from components.storage.tables import Row
from eval.protocols.registry import shown

_Written = TypeVar("_Written")

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
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def score_table(store: Store, chosen: Selection | Variants | None = None) -> list[Row]:
    """Join edits and scores: one row for each variant, edit, protocol and model.

    ``values`` and ``reasons`` are dicts by measure, as in ``scores``. An edit without a score has
    one row without any, whose protocol and model are none.

    Args:
        store: The run's store.
        chosen: What counts, of a run without variants or of each variant; none means every row.
    """
    unscored: Row = {**dict.fromkeys(_FROM_SCORE), "values": {}, "reasons": {}}
    rows = []
    for one in scored_edits(store, Selection() if chosen is None else chosen):
        made = one.edit | {"variant": one.variant, "method": one.method}
        for score in one.scores or [unscored]:
            joined = made | {name: score[name] for name in unscored}
            rows.append({name: joined[name] for name in (*_FIRST, "values", *_LAST)})
    return rows


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


def export(rows: Sequence[Row], target: str) -> None:
    """Write a table; the suffix says how. The file appears whole or not at all.

    Args:
        rows: From ``score_table``.
        target: A local path or ``s3://bucket/key`` that ends in .parquet, .csv, .jsonl or .md.

    Raises:
        UserError: another suffix or scheme, or the target cannot be written.
    """
    writers = {".parquet": _parquet, ".csv": _csv, ".jsonl": _jsonl, ".md": _markdown}
    write_whole(target, chosen_writer(writers, target, "scores")(rows))


def chosen_writer(
    writers: Mapping[str, Callable[[_Written], bytes]], target: str, what: str
) -> Callable[[_Written], bytes]:
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


def _parquet(rows: Sequence[Row]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        **dict.fromkeys((*measures(rows), *_NUMBERS), pa.float64()),
        **dict.fromkeys(_WHOLE_NUMBERS, pa.int64()),
        **dict.fromkeys(_TIMES, pa.timestamp("us", tz="UTC")),
    }
    schema = pa.schema([(name, types.get(name, pa.string())) for name in columns(rows)])
    table = pa.Table.from_pylist([_flat(row) for row in rows], schema=schema)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _csv(rows: Sequence[Row]) -> bytes:
    sink = io.StringIO(newline="")
    writer = csv.writer(sink)
    names = columns(rows)
    writer.writerow(names)
    writer.writerows([csv_cell(row.get(name)) for name in names] for row in map(_flat, rows))
    return _utf8(sink.getvalue())


def csv_cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: text like one gets a ``'`` before it."""
    value = _json_value(value)
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return f"'{value}"
    return value


def _jsonl(rows: Sequence[Row]) -> bytes:
    names = columns(rows)
    lines = (
        json.dumps({name: _json_value(row.get(name)) for name in names}, allow_nan=False)
        for row in map(_flat, rows)
    )
    return _utf8("".join(f"{line}\n" for line in lines))


def _json_value(value: Any) -> Any:
    """JSON knows neither times nor NaN: ISO 8601, and null as for every missing score."""
    if isinstance(value, dt.datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _markdown(rows: Sequence[Row]) -> bytes:
    several = any(row["variant"] for row in rows)
    names = ("video_id", "edit_id", *(["variant"] if several else []), *_READABLE)
    numbers = (*measures(rows), "seconds")
    rules = [*("---" for _ in names), *("---:" for _ in numbers)]
    cells = [
        [*(markdown_cell(row[name]) for name in names), *(number(row.get(n)) for n in numbers)]
        for row in map(_flat, rows)
    ]
    lines = [[*names, *numbers], rules, *cells]
    return _utf8("".join(f"| {' | '.join(line)} |\n" for line in lines))


def markdown_cell(value: Any) -> str:
    """Text that breaks no table and is neither markup nor HTML; a dash for none."""
    if value is None:
        return "–"
    text = " ".join(str(value).split())
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", html.escape(text, quote=False))


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", errors="replace")


def write_whole(target: str, data: bytes) -> None:
    """Write a file or object that appears whole or not at all.

    Raises:
        UserError: another scheme than a path, file:// or s3://, or it cannot be written.
    """
    address = parse_uri(target)
    if address.on_s3:
        folder, _, name = target.rpartition("/")
        try:
            open_store(folder).write_bytes(name, data)
        except (TransientError, ValueError) as error:
            raise UserError(f"cannot export to {target!r}: {error}") from error
        return
    path = Path(address.location)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=".tmp-", dir=path.parent, delete=False) as handle:
            try:
                handle.write(data)
                handle.flush()
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
