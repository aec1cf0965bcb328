"""Reads configuration files: YAML or JSON, overridden by ``key=value``, into a dataclass.

Unknown keys are errors with a suggestion, and no key may stand twice.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from components.config.control import ControlsConfig
from components.errors import UserError
from components.syntax.document import document_tree
from components.syntax.tree import Problems, to_plain
from tav_model.config import AdapterConfig

ConfigT = TypeVar("ConfigT")


def read_document(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a mapping (JSON where the file's name ends so, else YAML) and apply overrides.

    Args:
        path: The file.
        overrides: Such as ``tune.steps=20``; the values are YAML.

    Raises:
        UserError: the file is missing, not of its format or no mapping, a key stands twice, or an
            override is malformed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the run's configuration {path}: {error.strerror}") from error
    suffix = ".json" if path.suffix.lower() == ".json" else ".yaml"
    document = _parsed(data, suffix, str(path))
    if not isinstance(document, dict):
        raise UserError(f"{path} holds {type(document).__name__}, but a mapping is needed")
    for override in overrides:
        _apply_override(document, override)
    return document


def _parsed(data: bytes, suffix: str, where: str) -> Any:
    problems = Problems(where, what="the configuration")
    tree = document_tree(data, suffix, problems)
    problems.raise_any()
    return to_plain(tree)


def parse(cls: type[ConfigT], document: Any, where: str, *, known: Sequence[str] = ()) -> ConfigT:
    """Validate a document into a config dataclass.

    Args:
        cls: The dataclass.
        document: JSON values.
        where: Names the document in messages.
        known: Keys beside the dataclass's own that an unknown one may have been meant for.

    Raises:
        UserError: with one line for each problem.
    """
    import pydantic  # 0.2 s that `tav --help` need not pay

    try:
        return pydantic.TypeAdapter(cls).validate_python(document)
    except pydantic.ValidationError as error:
        problems = _one_a_value(error.errors(include_url=False))
        lines = [_explain(cls, problem, known) for problem in problems]
        raise UserError("\n".join([f"{where}: {len(lines)} problem(s)", *lines])) from error


def to_document(config: Any) -> dict[str, Any]:
    """The config as plain JSON values, the inverse of ``parse``; of a run, of ``run_config``."""
    document: dict[str, Any] = dataclasses.asdict(config)
    document |= document.pop("own", {})  # methods' sections stand beside the run's own
    # What is as it was before there were methods is not said: other releases read it too.
    usual: dict[str, Any] = {
        "method": "tune_a_video",
        "variants": {},
        "only": (),
        "manifest_root": None,
        "control": dataclasses.asdict(ControlsConfig()),
        "adapter": dataclasses.asdict(AdapterConfig()),
    }
    return {k: v for k, v in document.items() if k not in usual or v != usual[k]}


def _apply_override(document: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise UserError(f"override {override!r} is not of the form key=value: try tune.steps=20")
    *parents, last = path.split(".")
    place = document
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise UserError(f"override {override!r}: {parent!r} holds a value, not a section")
    place[last] = _parsed(text.encode(), ".yaml", f"override {override!r}")


_PLAIN = {"float": "a number", "int": "a whole number", "bool": "true or false"}


def _one_a_value(problems: Sequence[Any]) -> list[Any]:
    """Of a value that may be a name or a number, pydantic tells what each lacks: one line does."""
    found: dict[Any, Any] = {}
    names = {p["loc"][:-1] for p in problems if p["loc"] and _is_name(p["loc"][-1])}
    plain = {p["loc"][:-1]: p["loc"][-1] for p in problems if p["loc"] and p["loc"][-1] in _PLAIN}
    for problem in problems:
        place = problem["loc"][:-1]
        if place not in names:
            found[problem["loc"]] = problem
        elif _is_name(problem["loc"][-1]):
            message = f"{problem['msg']} or {_PLAIN[plain[place]]}" if place in plain else None
            found[place] = problem | {"loc": place, "msg": message or problem["msg"]}
    return list(found.values())


def _is_name(kind: object) -> bool:
    return str(kind).startswith("literal[")


def _explain(cls: type, problem: Any, known: Sequence[str]) -> str:
    path = [str(part) for part in problem["loc"]]
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "unexpected_keyword_argument":
        names = [*_field_names(cls, path[:-1]), *(known if len(path) == 1 else ())]
        near = difflib.get_close_matches(path[-1], names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(names)}"
        return f"  {'.'.join(path)}: unknown key; {hint}"
    if problem["type"] == "missing":
        return f"  {'.'.join(path)}: is required, but not given"
    value = "" if isinstance(problem["input"], dict) else f" (got {problem['input']!r})"
    if problem["type"] == "literal_error":
        known = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
        near = difflib.get_close_matches(str(problem["input"]), known, n=1)
        value += f"; did you mean {near[0]!r}?" if near else ""
    return f"  {'.'.join(path) or 'document'}: {message}{value}"


def _field_names(cls: type, path: list[str]) -> list[str]:
    """Names of the fields of the dataclass that a key path leads to."""
    for part in path:
        if part.isdecimal():  # an item of a list, whose kind the list's name gave
            continue
        hint: Any = typing.get_type_hints(cls).get(part)
        if not dataclasses.is_dataclass(hint):
            arms = typing.get_args(hint)
            hint = next((arm for arm in arms if dataclasses.is_dataclass(arm)), None)
        if hint is None or not dataclasses.is_dataclass(hint):
            return []
        cls = typing.cast("type", hint)
    return [f.name for f in dataclasses.fields(cls)]
