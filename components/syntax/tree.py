"""The form that every manifest format is read into: values that know their line."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple, NoReturn

from components.errors import UserError

MAX_DEPTH = 12
"""Levels of nesting; a manifest needs 6."""
_SHOWN = 100
_SHOWN_CHARS = 400


class ManifestError(UserError):
    """The manifest is refused. The message lists every problem with its line."""


class Node(NamedTuple):  # a million videos have ten million, and no dataclass is made as fast
    """A value of the manifest and where it stands."""

    value: Any
    """A scalar, a ``list[Node]`` or a ``dict[str, Node]``."""
    line: int
    """Line or row, counted from 1. A mapping's value has the line of its key."""


class LazyNodes:
    """A list whose nodes are made one by one, to be gone through once: few are there at a time."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._nodes = iter(nodes)
        self._first = next(self._nodes, None)

    def __bool__(self) -> bool:
        return self._first is not None

    def __iter__(self) -> Iterator[Node]:
        return itertools.chain([] if self._first is None else [self._first], self._nodes)


@dataclass(slots=True)
class Problems:
    """Collects what is wrong, to be told all at once."""

    source: str
    """The manifest's address."""
    unit: str = "line"
    """What is counted: ``line`` or ``row``."""
    what: str = "the manifest"
    """What is read."""
    found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, text: str) -> None:
        """Note a problem; line 0 is the manifest as a whole."""
        self.found.append((line, text))

    def raise_any(self) -> None:
        """Raise a ManifestError when anything was noted."""
        if not self.found:
            return
        lines = [f"{self.source}: {len(self.found)} problem(s) in {self.what}"]
        for line, text in sorted(self.found, key=lambda problem: problem[0])[:_SHOWN]:
            place = f"{self.unit} {line}: " if line else ""
            shown = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
            lines.append(f"  {place}{shown}")
        if len(self.found) > _SHOWN:
            lines.append(f"  and {len(self.found) - _SHOWN} more")
        raise ManifestError("\n".join(lines))

    def fail(self, line: int, text: str) -> NoReturn:
        """Note a problem after which reading cannot go on, and raise."""
        self.add(line, text)
        self.raise_any()
        raise AssertionError(text)


MISSING_WORDS = frozenset({"nan", "NaN", "NAN", "null", "NULL", "None", "<NA>", "NaT"})
"""What pandas and databases write where a value is missing and must be text."""
_EXACT = 1 << 53
"""Up to here every integer is a float of its own."""


def is_absent(value: Any) -> bool:
    """Whether a value means "not given": null, or NaN, which is pandas' null."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def as_integer(value: Any) -> Any:
    """A whole number as an integer (pandas makes 33 of a column with gaps 33.0), else the value."""
    if isinstance(value, float | Decimal) and -_EXACT <= value <= _EXACT and value % 1 == 0:
        return int(value)
    return value


def id_text(value: Any) -> Any:
    """An integer as the id that it is meant for, else the value."""
    whole = as_integer(value)
    return str(whole) if isinstance(whole, int) and not isinstance(whole, bool) else value


def to_node(value: Any, line: int, depth: int = 0) -> Node:
    """Give plain JSON values a line.

    Raises:
        ValueError: nested deeper than ``MAX_DEPTH``.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return Node({key: to_node(item, line, depth + 1) for key, item in value.items()}, line)
    if isinstance(value, list | tuple):
        return Node([to_node(item, line, depth + 1) for item in value], line)
    return Node(value, line)


def to_plain(node: Node) -> Any:
    """The values without their lines, the inverse of ``to_node``."""
    if isinstance(node.value, dict):
        return {key: to_plain(item) for key, item in node.value.items()}
    if isinstance(node.value, list):
        return [to_plain(item) for item in node.value]
    return node.value
