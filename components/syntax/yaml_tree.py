"""Reads YAML into the tree: plain scalars, lists and mappings, each key once, within bounds."""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from components.syntax.tree import MAX_DEPTH, Node, Problems

MAX_NODES = 2_000_000
"""Values of a document once its aliases are expanded."""

_YAML_BREAKS = re.compile("[\x85\u2028\u2029]")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def yaml_tree(text: str, problems: Problems) -> Node:
    """Read one YAML document; each value has the line that it, or its key, begins in.

    Raises:
        ManifestError: it is no YAML, nested too deep, too large, or holds what is not read.
    """
    if (found := _YAML_BREAKS.search(text)) is not None:
        line = text.count("\n", 0, found.start()) + 1
        code = f"{ord(found[0]):04X}"
        problems.fail(
            line,
            f"holds U+{code}, at which YAML ends the line and the text changes: remove it, or "
            f'write "\\u{code.lower()}" in double quotes',
        )
    try:
        _check_depth(text, problems)
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return Node(None, 1)
            _expanded(root, 1, {}, problems)
            return _YamlReader(loader, problems).convert(root, 1)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        reason = ", ".join(filter(None, [error.context, error.problem]))
        problems.fail(mark.line + 1 if mark else 0, f"is no YAML: {reason}")
    except yaml.YAMLError as error:
        problems.fail(0, f"is no YAML: {error}")


def _check_depth(text: str, problems: Problems) -> None:
    """Bound the nesting before anything recurses over it (libyaml's composer is C code)."""
    depth = 0
    events: Any = yaml.parse(text, Loader=_Loader)
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            line = event.start_mark.line + 1
            problems.fail(line, f"is nested deeper than {MAX_DEPTH} levels: use fewer")


def _expanded(
    node: Any, line: int, known: dict[Any, tuple[float, float]], problems: Problems
) -> tuple[float, float]:
    """Bound what a node grows to when its aliases are expanded, each node looked at once.

    An alias names a node that came before it, so that this recurses no deeper than the text; one
    that names a node around it grows for ever.
    """
    if node not in known:
        known[node] = math.inf, math.inf
        values, levels = 1.0, 0.0
        for inner in _inner(node):
            count, depth = _expanded(inner, inner.start_mark.line + 1, known, problems)
            values, levels = values + count, max(levels, depth + 1)
        known[node] = values, levels
    if known[node][0] > MAX_NODES or known[node][1] > MAX_DEPTH:
        problems.fail(
            line,
            f"grows beyond {MAX_NODES} values or {MAX_DEPTH} levels when its aliases (*name) "
            "are expanded: write the values out",
        )
    return known[node]


def _inner(node: Any) -> list[Any]:
    if isinstance(node, yaml.MappingNode):
        return [one for pair in node.value for one in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


_PLAIN_TAGS = {
    yaml.MappingNode: "tag:yaml.org,2002:map",
    yaml.SequenceNode: "tag:yaml.org,2002:seq",
}


class _YamlReader:
    """Turns YAML nodes into ours; aliases are expanded."""

    def __init__(self, loader: Any, problems: Problems) -> None:
        self._loader = loader
        self._problems = problems

    def convert(self, node: Any, line: int) -> Node:
        kind = _PLAIN_TAGS.get(type(node))
        if kind is not None and node.tag != kind:
            self._problems.fail(line, f"is no YAML: the tag {node.tag!r} is not read; remove it")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, line)
        if isinstance(node, yaml.SequenceNode):
            return Node([self.convert(n, n.start_mark.line + 1) for n in node.value], line)
        try:
            return Node(self._loader.construct_object(node), line)
        except ValueError as error:  # an integer of thousands of digits, an impossible date
            self._problems.add(line, f"holds no usable value: {error}")
            return Node(None, line)

    def _mapping(self, node: Any, line: int) -> Node:
        found: dict[str, Node] = {}
        for key_node, value_node in node.value:
            key_line = key_node.start_mark.line + 1
            if key_node.tag == "tag:yaml.org,2002:merge":
                self._problems.fail(key_line, "merges with << are not read: write the values out")
            key = self.convert(key_node, key_line).value
            if not isinstance(key, str):
                kind = type(key).__name__
                self._problems.add(key_line, f"a key is of type {kind}, but must be text: quote it")
            elif key in found:
                self._problems.add(key_line, f"the key {key!r} is given twice: keep one")
            else:
                found[key] = self.convert(value_node, key_line)
        return Node(found, line)
