"""Which methods there are: entry points of one group, this project's own and others' alike."""

from __future__ import annotations

import difflib
import functools
import inspect
import re
from importlib.metadata import EntryPoint, entry_points

from methods.method import Method

GROUP = "tav.methods"
"""A package adds a method with an entry point of this group: ``name = "module:Class"``."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class UnknownMethodError(ValueError):
    """No such method is installed, or what is installed is none."""


@functools.cache
def method_names() -> tuple[str, ...]:
    """Every method that is installed, in alphabetical order. Imports none of them."""
    return tuple(sorted(name for name in _entry_points() if _NAME.fullmatch(name)))


def find_method(name: str) -> type[Method]:
    """The class of a method.

    Raises:
        UnknownMethodError: it is not installed (with the nearest name), or cannot be imported, or
            is no ``Method``.
    """
    points = _entry_points()
    if name not in points or not _NAME.fullmatch(name):
        near = difflib.get_close_matches(name, points, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UnknownMethodError(
            f"unknown method {name!r}: {hint}installed methods: {', '.join(method_names())}; "
            "another package's needs that package on this machine too"
        )
    point = points[name]
    try:
        found = point.load()
    except Exception as error:
        raise UnknownMethodError(
            f"method {name!r} ({point.value}) cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not (inspect.isclass(found) and issubclass(found, Method)) or inspect.isabstract(found):
        raise UnknownMethodError(
            f"method {name!r} ({point.value}) is no class derived from methods.method.Method that "
            "has edit() and Config"
        )
    return found


@functools.cache
def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
