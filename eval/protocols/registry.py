"""Which protocols there are: each module of this package whose name ends in a version."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import eval.protocols
from eval.errors import UnknownProtocolError
from eval.measures import SECONDS, Measure
from eval.protocols.evidence import CLIP
from eval.protocols.protocol import Protocol
from eval.protocols.retired import RETIRED

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
        UnknownProtocolError: with the nearest name and the list of all, or what took its place.
    """
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    if name in RETIRED:
        raise UnknownProtocolError(f"protocol {name!r} is retired: {RETIRED[name].why}")
    near = difflib.get_close_matches(name, PROTOCOLS, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UnknownProtocolError(
        f"unknown protocol {name!r}: {hint}known protocols: {', '.join(sorted(PROTOCOLS))}"
    )


def judges_of(name: str) -> tuple[str, ...]:
    """The models that a protocol asks for.

    Of a protocol that this release does not know it is CLIP: it can be in the record of a run, and
    is refused where it is asked for (``get_protocol``).
    """
    if name in RETIRED:
        return RETIRED[name].judges
    return PROTOCOLS[name].judges if name in PROTOCOLS else (CLIP,)


def reads_mask(name: str) -> bool:
    """Whether a protocol looks at masks; of one that this release does not have: no."""
    return name in PROTOCOLS and PROTOCOLS[name].reads_mask


def measure_of(protocol: str, name: str) -> Measure:
    """How to show a number of a protocol, or of none: one of another release by its bare name."""
    if (protocol, name) == ("", SECONDS):
        return Measure(label="Seconds", short="seconds", lower_is_better=True)
    return _measures(protocol).get(name) or Measure(label=name, short=name)


def shown(protocol: str, found: Iterable[str]) -> tuple[str, ...]:
    """The measures to show of a protocol: all of its own in their order, then any others found."""
    known = _measures(protocol)
    return (*known, *sorted(set(found) - known.keys()))


def _measures(protocol: str) -> Mapping[str, Measure]:
    """Of a protocol of this release or of one before; none of others."""
    if protocol in RETIRED:
        return RETIRED[protocol].measures
    return PROTOCOLS[protocol].measures if protocol in PROTOCOLS else {}
