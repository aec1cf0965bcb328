"""Reads Parquet manifests: the columns of CSV, or those of JSON lines with lists and mappings."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from components.manifest.rows import NESTED_COLUMNS, Columns, Row, tree_of_rows
from components.syntax.tree import Node, Problems

MAX_UNPACKED_BYTES = 1 << 30
"""Bytes of a Parquet manifest's columns once unpacked."""


def parquet_tree(data: bytes, problems: Problems) -> Node:
    """Read a Parquet manifest.

    Raises:
        ManifestError: it is damaged, too large when unpacked, or holds unknown columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    def kept(file: Any, columns: Columns) -> Iterator[tuple[int, Row]]:
        row_number, unpacked = 0, 0
        for batch in file.iter_batches(batch_size=1024):
            unpacked += batch.nbytes
            if unpacked > MAX_UNPACKED_BYTES:
                problems.fail(0, f"unpacks to over {MAX_UNPACKED_BYTES} bytes: split it")
            for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                row_number += 1
                if row := columns.row(row_number, [_value(value) for value in values]):
                    yield row_number, row
        columns.tell()

    try:
        file = pq.ParquetFile(io.BytesIO(data))
        columns = Columns(file.schema_arrow.names, problems, NESTED_COLUMNS)
        return tree_of_rows(kept(file, columns), problems)
    except (pa.ArrowException, OSError, ValueError) as error:
        problems.fail(0, f"is no readable Parquet: {error}")


def _value(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value
