"""Checks of single values of a manifest, each with a message that names what is wrong with it."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from components.manifest.edits import MAX_PROMPT_CHARS
from components.syntax.tree import MISSING_WORDS, Node, Problems, id_text, is_absent

ID_RULE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""Names that Windows and its network shares keep for devices."""
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_SHOWN_CHARS = 80


def valid_id(text: str) -> bool:
    """Whether a video's or edit's id can safely be part of an object path."""
    return bool(ID_RULE.fullmatch(text)) and ".." not in text and not _RESERVED.fullmatch(text)


class Fields:
    """Reads values of a manifest's tree, noting what is wrong with them."""

    def __init__(self, problems: Problems, *, number_ids: bool = False) -> None:
        """See ``lint.Linter``."""
        self.problems = problems
        self.number_ids = number_ids

    def id(self, node: Node, what: str) -> str:
        """A video's or edit's id, or ""."""
        if self.number_ids:
            node = Node(id_text(node.value), node.line)
        text = self.text(node, what, MAX_PROMPT_CHARS)
        if text and not valid_id(node.value):  # uncut: a name is taken as it stands
            self.problems.add(
                node.line,
                f"{what} is {short(node.value)}, but ids are 1 to 100 of A-Z a-z 0-9 . _ - "
                "beginning with a letter or digit, without '..', and no device's name: rename it",
            )
            return ""
        return text

    def prompt(self, node: Node, what: str) -> str:
        """A source's prompt or an edit's; words that programs write for "nothing" are refused."""
        text = self.text(node, what)
        if text in MISSING_WORDS:
            self.problems.add(
                node.line,
                f"{what} is {text!r}, as programs write a value that is missing: leave it out",
            )
        return text

    def text(self, node: Node, what: str, limit: int = MAX_PROMPT_CHARS) -> str:
        """The text with the space around it cut, or "" after noting why it is refused."""
        if node.value is None:
            problem = "is missing: give it a value"
        elif not isinstance(node.value, str):
            kind = type(node.value).__name__
            remedy = "put it in quotes" if self.problems.unit == "line" else "save it as text"
            problem = f"is {short(node.value)} ({kind}), but must be text: {remedy}"
        elif not (text := node.value.strip()):
            problem = "is empty: give at least one word"
        elif len(text) > limit:
            problem = f"has {len(text)} characters, but the limit is {limit}: shorten it"
        elif bad := _control_in(text):
            problem = f"holds the control character U+{ord(bad):04X}: remove it"
        else:
            return text
        self.problems.add(node.line, f"{what} {problem}")
        return ""

    def mapping(self, node: Node, what: str, known: Sequence[str]) -> dict[str, Node]:
        """The fields of a mapping that are given, after noting those that are not known."""
        if not isinstance(node.value, dict):
            kind = "empty" if node.value is None else f"a {type(node.value).__name__}"
            self.problems.add(
                node.line, f"{what} is {kind}, but must be a mapping of {listed(known)}"
            )
            return {}
        for key, item in node.value.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {listed(known)}"
                self.problems.add(item.line, f"unknown key {short(key)} in {what}; {hint}")
        return given(node.value)


def given(fields: dict[str, Node]) -> dict[str, Node]:
    """The fields without those whose value says that there is none."""
    return {name: item for name, item in fields.items() if not is_absent(item.value)}


def listed(known: Sequence[str]) -> str:
    """Names for a message."""
    return ", ".join(known)


def short(value: Any) -> str:
    """A value for a message, of a long one the beginning."""
    shown = repr(value) if not isinstance(value, list | dict) else f"a {type(value).__name__}"
    return shown if len(shown) <= _SHOWN_CHARS else f"{shown[:_SHOWN_CHARS]}…"


def tail(uri: str) -> str:
    """An address, of a long one the end, in which those of one manifest differ."""
    shown = repr(uri)
    return shown if len(shown) <= _SHOWN_CHARS else f"…{shown[-_SHOWN_CHARS:]}"


def _control_in(text: str) -> str | None:
    """The first refused character. All of them are unprintable, and few texts hold any such."""
    return None if text.isprintable() else next(filter(_is_control, text), None)


def _is_control(char: str) -> bool:
    """Control characters, lone surrogates, and marks that reorder the text around them."""
    return unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in _BIDI_CONTROLS
