"""Reads JSON and JSON lines into the tree by the standard library's parser, with its lines."""

from __future__ import annotations

import bisect
import itertools
import json
import json.decoder
import json.scanner
import re
from collections.abc import Iterator
from typing import Any

from components.syntax.tree import MAX_DEPTH, LazyNodes, Node, Problems, to_node

# The parser's own parts, which have no types.
_scanner: Any = json.scanner
_decoder: Any = json.decoder


def json_tree(text: str, problems: Problems) -> Node:
    """Read one JSON document; each value has the line that it begins in.

    Raises:
        ManifestError: it is no JSON, or nested too deep.
    """
    try:
        found: Node = _Decoder(text, problems).decode(text)
    except json.JSONDecodeError as error:
        hint = "; files of one object a line end in .jsonl" if error.msg == "Extra data" else ""
        problems.fail(error.lineno, f"is no JSON: {error.msg} at column {error.colno}{hint}")
    return found


def jsonl_tree(text: str, problems: Problems) -> Node:
    """Read a video from each line that is not blank, as they are asked for.

    What is wrong with a line is noted in its turn, and reading goes on after it.
    """
    return Node({"videos": Node(LazyNodes(_rows(text, problems)), 1)}, 1)


def _rows(text: str, problems: Problems) -> Iterator[Node]:
    start = 0
    for line in itertools.count(1):
        end = text.find("\n", start)
        row = text[start : None if end < 0 else end]
        if row.strip():
            try:
                value = json.loads(row, object_pairs_hook=_distinct, parse_constant=_constant)
                yield to_node(value, line)
            except (ValueError, RecursionError) as error:
                problems.add(line, f"is no JSON of a video: {error}")
        if end < 0:
            return
        start = end + 1


class _Decoder(json.JSONDecoder):
    """Gives every value as a ``Node``: the parser calls a decoder's own parts for what nests."""

    def __init__(self, text: str, problems: Problems) -> None:
        super().__init__(object_pairs_hook=self._mapping, parse_constant=_constant)
        self._problems = problems
        self._ends = [match.start() for match in re.finditer("\n", text)]
        self._depth = 0
        self.parse_object = lambda begin, strict, _scan, *rest: _decoder.JSONObject(
            begin, strict, self._node, *rest
        )
        self.parse_array = lambda begin, _scan: _decoder.JSONArray(begin, self._node)
        self._scan = _scanner.py_make_scanner(self)  # the one in C would call none of these
        self.scan_once = self._node

    def _node(self, text: str, begin: int) -> tuple[Node, int]:
        line = bisect.bisect_left(self._ends, begin) + 1
        self._depth += 1
        if self._depth > MAX_DEPTH + 1:  # the document itself is the first level
            self._problems.fail(line, f"is nested deeper than {MAX_DEPTH} levels: use fewer")
        try:
            value, end = self._scan(text, begin)
        except json.JSONDecodeError:
            raise
        except ValueError as error:  # an integer of thousands of digits, a number that is none
            self._problems.fail(line, f"holds no usable value: {error}")
        self._depth -= 1
        return Node(value, line), end

    def _mapping(self, pairs: list[tuple[str, Node]]) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for key, node in pairs:
            if key in found:
                self._problems.add(node.line, f"the key {key!r} is given twice: keep one")
            else:
                found[key] = node
        return found


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        again = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {again!r} is given twice: keep one")
    return found


def _constant(name: str) -> float:
    """NaN is what pandas and others write for a value that is not given."""
    if name == "NaN":
        return float("nan")
    raise ValueError(f"{name} is no JSON number")
