"""Reads manifests of any format into one tree: documents by ``syntax``, rows by modules here.

Nothing is judged here beyond syntax and size; ``lint`` does that for all formats at once.
"""

from __future__ import annotations

from components.manifest.csv_rows import csv_tree
from components.manifest.parquet_rows import parquet_tree
from components.syntax import document
from components.syntax.json_tree import jsonl_tree
from components.syntax.tree import Node, Problems

_CSV_SUFFIXES = (".csv", ".tsv")
SUFFIXES = (*document.SUFFIXES, ".jsonl", *_CSV_SUFFIXES, ".parquet")
MAX_BYTES = 256 << 20
"""Bytes of a JSONL, CSV or Parquet manifest."""


def byte_limit(suffix: str) -> int:
    """How large a manifest of a format may be, in bytes."""
    return document.MAX_BYTES if suffix in document.SUFFIXES else MAX_BYTES


def read_tree(data: bytes, suffix: str, problems: Problems) -> Node:
    """Parse a manifest of any format.

    Args:
        data: The file's content.
        suffix: One of ``SUFFIXES``.
        problems: Where what is wrong is noted; its ``unit`` is set.

    Returns:
        A mapping with ``videos`` (a list) and perhaps ``edits``, or what a document holds instead.

    Raises:
        ManifestError: the content is too large, or reading cannot go on.
    """
    if suffix in document.SUFFIXES:
        return document.document_tree(data, suffix, problems)
    if suffix == ".parquet":
        document.check_size(data, MAX_BYTES, problems)
        problems.unit = "row"
        return parquet_tree(data, problems)
    text = document.decoded(data, MAX_BYTES, problems)
    return csv_tree(text, problems) if suffix in _CSV_SUFFIXES else jsonl_tree(text, problems)
