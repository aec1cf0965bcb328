"""What a protocol is: named measures, each a function of the evidence, and what they ask for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from eval.errors import EvalError, UndefinedError
from eval.measures import Measure
from eval.protocols.evidence import Evidence


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric(Measure):
    """A measure, and how it is computed."""

    of: Callable[[Evidence], float]
    """Raises UndefinedError where it has no meaning of an edit, and any other EvalError where it
    cannot be computed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """How an edited clip becomes numbers."""

    name: str
    """Ends in its version, ``_v1``."""
    source: str
    """Where the protocol is defined, and what it leaves open."""
    measures: Mapping[str, Metric]
    """By name, in the order in which they are shown."""
    judges: tuple[str, ...] = ()
    """The models that it asks for (see ``eval.protocols.evidence``)."""
    reads_source: bool = False
    """Whether a measure looks at the source clip or its prompt."""
    reads_mask: bool = False
    """Whether a measure looks at the source's mask too; it then ``reads_source``."""


@dataclass(frozen=True, slots=True)
class Scores:
    """One edit under one protocol: each measure has a value or a reason why it has none."""

    values: Mapping[str, float]
    reasons: Mapping[str, str]


def score(protocol: Protocol, evidence: Evidence) -> Scores:
    """Compute every measure; one that cannot be leaves the others alone.

    Raises:
        EvalError: nothing could be computed, and not because it has no meaning: the first reason.
    """
    values: dict[str, float] = {}
    reasons: dict[str, str] = {}
    faults: list[EvalError] = []
    for name, metric in protocol.measures.items():
        try:
            values[name] = _finite(name, metric.of(evidence))
        except EvalError as error:
            reasons[name] = str(error)
            faults += [] if isinstance(error, UndefinedError) else [error]
    if faults and not values:
        raise faults[0]
    return Scores(values, reasons)


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise EvalError(f"{name} comes out as {value}, which is no number: look at the edit")
    return value
