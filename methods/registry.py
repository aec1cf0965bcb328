"""Which methods there are: entry points of one group, this project's own and others' alike."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import re
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
        UnknownMethodError: it is not installed (with the nearest name) or installed twice, or
            cannot be imported, or is no ``Method``.
    """
    points = _entry_points()
    if name in points and not _NAME.fullmatch(name):
        raise UnknownMethodError(
            f"the package {_package(points[name][0])} names a method {name!r}: use 1 to 64 of "
            "a-z 0-9 _ beginning with a letter"
        )
    if name not in points:
        near = difflib.get_close_matches(name, points, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UnknownMethodError(
            f"unknown method {name!r}: {hint}installed methods: {', '.join(method_names())}; "
            "another package's needs that package on this machine too"
        )
    point, *others = points[name]
    if others:
        raise UnknownMethodError(
            f"method {name!r} is added by {_package(point)} ({point.value}) and by "
            f"{_package(others[0])} ({others[0].value}): uninstall one"
        )
    try:
        found = point.load()
    except (Exception, SystemExit) as error:
        raise UnknownMethodError(
            f"method {name!r} ({point.value}) cannot be imported: {type(error).__name__}: {error}"
        ) from error
    from methods.method import Method  # with NumPy, which names and manifests need not wait for

    if not (inspect.isclass(found) and issubclass(found, Method)) or inspect.isabstract(found):
        raise UnknownMethodError(
            f"method {name!r} ({point.value}) is no class derived from methods.method.Method that "
            "has edit() and Config"
        )
    _check_config(name, point, getattr(found, "Config", None))
    return found


def _check_config(name: str, point: EntryPoint, config: Any) -> None:
    if not (inspect.isclass(config) and dataclasses.is_dataclass(config)):
        raise UnknownMethodError(
            f"method {name!r} ({point.value}) has no Config, or one that is no dataclass: give it "
            "one, frozen, without fields where there is nothing to set"
        )
    if "__pydantic_config__" not in vars(config):
        config.__pydantic_config__ = {"extra": "forbid"}  # type: ignore[attr-defined]


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "another package"


@functools.cache
def _entry_points() -> dict[str, list[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, []).append(point)
    return found
