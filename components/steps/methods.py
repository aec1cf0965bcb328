"""Methods on duty: made of a configuration on the driver, loaded on a worker."""

from __future__ import annotations

import dataclasses
import errno
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from components.config import RunConfig
from components.errors import ItemError, UserError
from components.records.failures import expected_errors
from components.records.provenance import model_columns
from components.records.revisions import hub_revision, pinned
from components.redact import redacted
from components.steps.step import StepContext
from components.storage.address import parse_uri
from components.storage.tables import Row
from methods.method import Method, Settings, model_fields
from methods.registry import UnknownMethodError, find_method
from tav_model.errors import TavModelError
from tinyworld.shipped import public_name

_NONE: Mapping[str, str] = MappingProxyType({})


def make_method(
    config: RunConfig, base_revision: str = "", own_revisions: Mapping[str, str] = _NONE
) -> Method:
    """The method of a variant's configuration. Loads nothing.

    Args:
        config: Of the variant.
        base_revision: What ``records.revisions.base_revision`` made of ``model``.
        own_revisions: What it made of the models that the method's section names, by field.

    Raises:
        UserError: the method is not installed, or refuses its settings.
    """
    try:
        kind = find_method(config.method)
        settings = _settings(kind, config, base_revision, own_revisions)
        _check_addresses(config.method, settings.own)
        if config.model.window is not None and not kind.takes_windows:
            raise UserError(
                f"model.window is {config.model.window}, but method {config.method!r} sees a clip "
                "whole: leave model.window out, or give its variant model: {window: null}"
            )
        _check_control(config, kind)
        with answering(config.method):
            method = kind(settings)
            if method.batch < 1:
                raise ValueError(f"batch is {method.batch}, but must be at least 1")
            return method
    except UnknownMethodError as error:
        raise UserError(str(error)) from error


def _check_control(config: RunConfig, kind: type[Method]) -> None:
    if config.control.nets and not kind.uses_control:
        raise UserError(
            f"method {config.method!r} cannot be steered, but control.nets names "
            f"{len(config.control.nets)}: set control: {{nets: []}} for its variant, or use "
            "tune_a_video, sdedit or frame_by_frame"
        )


def _check_addresses(method: str, own: Any) -> None:
    for field in dataclasses.fields(own):
        if field.metadata.get("address"):
            try:
                parse_uri(getattr(own, field.name))
            except UserError as error:
                raise UserError(f"{method}.{field.name}: {error}") from error


def _settings(
    kind: type[Method], config: RunConfig, base_revision: str, own_revisions: Mapping[str, str]
) -> Settings:
    model, own = pinned(config.model, base_revision), own_section(kind, config)
    commits = {
        revision: hub_revision(own_revisions[name])
        for name, revision in model_fields(own).items()
        if name in own_revisions
    }
    return Settings(
        own=dataclasses.replace(own, **commits) if commits else own,
        model=model,
        base_revision=base_revision,
        revisions=own_revisions,
        control_tunes=config.control.tune,
        tune=config.tune,
        adapter=config.adapter,
        invert=config.invert,
        sample=config.sample,
    )


def own_section(kind: type[Method], config: RunConfig) -> Any:
    """The section of a variant's method, with its defaults where the file has none."""
    return config.own[config.method] if config.method in config.own else kind.Config()


def base_columns(context: StepContext) -> Row:
    """The columns that name the model and the seed: a method without base has one of its own."""
    config = context.config
    kind, base, revision = find_method(config.method), config.model.base, context.base_revision
    if not kind.uses_base:
        for name, found in list(context.own_revisions.items())[:1]:
            base, revision = getattr(own_section(kind, config), name), found
    return model_columns(public_name(base), revision, config.seed)


class _Loaded:
    """The method that a process has loaded, and for whom."""

    def __init__(self) -> None:
        self.of: tuple[object, str] | None = None
        self.method: Method | None = None


_shared: weakref.ReferenceType[_Loaded] | None = None


def _loaded() -> _Loaded:
    """The process's own; it goes with the last who uses it."""
    global _shared  # noqa: PLW0603 - a process has one device
    found = None if _shared is None else _shared()
    if found is None:
        found = _Loaded()
        _shared = weakref.ref(found)
    return found


class Methods:
    """The method that is loaded: one at a time in a process, as each may fill the device."""

    def __init__(self, context: StepContext) -> None:
        self._context = context
        self._loaded = _loaded()
        self._mark = object()  # not itself, which would keep itself alive

    def of(self, variant: str) -> Method:
        """The method of a variant, loaded.

        Raises:
            UserError: model or device cannot be used.
        """
        here = self._loaded
        if here.method is not None and here.of == (self._mark, variant):
            return here.method
        context = self._context.of(variant)
        method = make_method(context.config, context.base_revision, context.own_revisions)
        former, here.method = here.method, None
        if former is not None and _loads_alike(former, method):
            former.settings = method.settings
            method = former
        else:
            del former  # two models at once may be too much
            self._load(method, context)
        here.of, here.method = (self._mark, variant), method
        return method

    def _load(self, method: Method, context: StepContext) -> None:
        try:
            method.load()
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            name = context.config.method
            own = [repr(getattr(method.settings.own, f)) for f in model_fields(method.settings.own)]
            used = [f"model.base {context.config.model.base!r}"] * method.uses_base + own
            what = " with ".join(used) or "its model"
            # Those that are asked of it explain themselves.
            why = str(error) if isinstance(error, (OSError, ValueError)) else _told(error)
            raise UserError(f"method {name!r}: {what} cannot be loaded: {why}") from error


def _loads_alike(one: Method, other: Method) -> bool:
    def loaded(method: Method) -> tuple[Any, ...]:
        settings = method.settings
        parameters = settings.tune.parameters
        return type(method), settings.model, parameters, settings.own, dict(settings.revisions)

    return loaded(one) == loaded(other)


@contextmanager
def answering(name: str) -> Iterator[None]:
    """Make an error of the whole run of what a method raises when the driver asks it something."""
    try:
        yield
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"method {name!r} refuses its settings: {error}") from error
    except (Exception, SystemExit) as error:
        raise UserError(
            f"method {name!r} failed when it was asked: {_told(error)}: mend it, or leave it out"
        ) from error


@contextmanager
def foreign_errors(name: str) -> Iterator[None]:
    """Make of whatever a method raises an error of the item: its code may be anybody's.

    What stops a worker (no room for scratch files, a store that refuses) and what no later item
    would survive (an error of the device) passes.
    """
    with expected_errors():
        try:
            yield
        except (ItemError, UserError, TavModelError):
            raise
        except (Exception, SystemExit) as error:
            full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
            if full or type(error).__name__ == "OutOfMemoryError" or "CUDA error" in str(error):
                raise
            raise ItemError(f"method {name!r} failed: {_told(error)}") from error


def _told(error: BaseException) -> str:
    """An error of anybody's as text that may stand in a log."""
    text = str(error).encode("utf-8", errors="backslashreplace").decode()
    return redacted(f"{type(error).__name__}: {text}")
