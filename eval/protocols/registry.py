"""Which protocols there are: each module of this package whose name ends in a version."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
from collections.abc import Mapping
from types import MappingProxyType

import eval.protocols
from eval.errors import UnknownProtocolError
from eval.protocols.protocol import Protocol, TruthProtocol

_NAME = re.compile(r"[a-z][a-z0-9_]*_v[1-9][0-9]*")


def _modules() -> dict[str, Protocol]:
    package = eval.protocols
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return {
        name: importlib.import_module(f"{package.__name__}.{name}").PROTOCOL
        for name in names
        if _NAME.fullmatch(name)
    }


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(_modules())
"""Every protocol by name."""


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        UnknownProtocolError: with the nearest name and the list of all.
    """
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    near = difflib.get_close_matches(name, PROTOCOLS, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UnknownProtocolError(
        f"unknown protocol {name!r}: {hint}known protocols: {', '.join(sorted(PROTOCOLS))}"
    )


def reads_frames(name: str) -> bool:
    """Whether scores under this protocol come from tinyworld's reader, and not from CLIP."""
    return isinstance(PROTOCOLS.get(name), TruthProtocol)
