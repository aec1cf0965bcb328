"""Variants: named overrides of a run's own configuration, each a whole one when resolved."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from components.config.document import to_document
from components.config.profiles import merged
from components.config.settings import RunConfig
from components.errors import UserError
from methods.registry import method_names

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_VARY = (
    *("method", "model", "tune", "adapter", "invert", "sample", "control"),
    *("output", "seed"),
)
"""What a variant may change, beside methods' sections; all else is shared by the run."""

ReadConfig = Callable[[Any, str], RunConfig]


def variant_configs(config: RunConfig, read: ReadConfig) -> dict[str, RunConfig]:
    """The whole configuration of each variant by name, in order; without any, the run's own.

    Args:
        config: Of the run.
        read: What makes a configuration of a document: ``run_config`` or ``parse_run``.

    Raises:
        UserError: a name or an override is wrong.
    """
    if not config.variants:
        return {config.method: config}
    plain = to_document(dataclasses.replace(config, variants={}, only=()))
    found: dict[str, RunConfig] = {}
    for name, overrides in config.variants.items():
        where = f"variants.{name}"
        _check(name, overrides, where, found)
        found[name] = read(merged(plain, overrides), where)
    return found


def narrowed(config: RunConfig, names: Collection[str]) -> RunConfig:
    """The configuration for some of its variants alone, in its own order.

    Args:
        config: Of the run.
        names: The variants; none, or each of them, is all. A run without variants has one, named as
            its method.

    Raises:
        UserError: there is no such variant.
    """
    known = tuple(config.variants) or (config.method,)
    for name in names:
        if name in known:
            continue
        if not config.variants:
            raise UserError(
                f"the run has no variant {name!r}: it names none in its configuration, so its "
                f"only one is its method, {config.method!r}"
            )
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
        raise UserError(f"the run has no variant {name!r}: {hint}")
    only = tuple(name for name in known if name in names)
    return dataclasses.replace(config, only=() if only == known else only)


def whole_variants(
    variants: Mapping[str, Mapping[str, Any]], resolved: Mapping[str, RunConfig]
) -> dict[str, dict[str, Any]]:
    """The overrides with the values that they have once resolved, so that all machines agree."""
    return {
        name: _taken(overrides, to_document(resolved[name])) for name, overrides in variants.items()
    }


def _check(name: str, overrides: Any, where: str, former: Mapping[str, RunConfig]) -> None:
    if not NAME.fullmatch(name):
        raise UserError(
            f"variant {name!r} is no name: use 1 to 64 of A-Z a-z 0-9 _ - beginning with a letter "
            "or digit"
        )
    if same := [one for one in former if one.casefold() == name.casefold()]:
        raise UserError(f"variant {name!r} differs from {same[0]!r} only in case: rename one")
    if not isinstance(overrides, Mapping):
        raise UserError(f"{where} is {overrides!r}, but must be a mapping, such as {{}} for none")
    known = (*_VARY, *method_names())
    for key in overrides:
        if key in known:
            continue
        if key in {field.name for field in dataclasses.fields(RunConfig)}:
            raise UserError(
                f"{where}.{key}: all variants of a run share it: set it for the run, or make "
                f"another run. A variant may change {', '.join(_VARY)} and methods' sections"
            )
        near = difflib.get_close_matches(str(key), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        raise UserError(f"{where}.{key}: unknown key; {hint}")


def _taken(overrides: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _taken(value, document[key])
        if isinstance(value, Mapping) and isinstance(document.get(key), Mapping)
        else document.get(key, value)
        for key, value in overrides.items()
    }
