"""Reads a document of YAML or JSON, whichever its suffix says."""

from __future__ import annotations

from components.syntax.json_tree import json_tree
from components.syntax.tree import Node, Problems
from components.syntax.yaml_tree import yaml_tree

YAML_SUFFIXES = (".yaml", ".yml")
SUFFIXES = (*YAML_SUFFIXES, ".json")
MAX_BYTES = 8 << 20
"""Bytes of a document."""


def document_tree(data: bytes, suffix: str, problems: Problems) -> Node:
    """Parse a document.

    Args:
        data: The file's content.
        suffix: One of ``SUFFIXES``.
        problems: Where what is wrong is noted.

    Raises:
        ManifestError: the content is too large, or reading cannot go on.
    """
    text = decoded(data, MAX_BYTES, problems)
    return json_tree(text, problems) if suffix == ".json" else yaml_tree(text, problems)


def decoded(data: bytes, limit: int, problems: Problems) -> str:
    """The text of UTF-8 bytes, without a byte order mark.

    Raises:
        ManifestError: they are too many, or no UTF-8.
    """
    check_size(data, limit, problems)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.fail(line, f"is not UTF-8 ({error.reason}): save it as UTF-8")


def check_size(data: bytes, limit: int, problems: Problems) -> None:
    """Raise a ManifestError if the content is larger than its format may be."""
    if len(data) > limit:
        problems.fail(0, f"has {len(data)} bytes, but the limit is {limit}: split it, or use JSONL")
