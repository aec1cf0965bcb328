"""Scores in long form, one value each: what every table of scores is pivoted from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple


class Value(NamedTuple):
    """One edit's value of one measure."""

    video: str
    edit: str
    """Its id within the run; with ``video`` it says which edits of two variants are a pair."""
    variant: str
    category: str
    protocol: str
    """Empty: of no protocol, such as seconds."""
    judge: str
    """Revision of the model that judged. Values of two judges are never mixed."""
    measure: str
    """A protocol's, or of none ``eval.measures.SECONDS``."""
    value: float | None
    """None, NaN or infinite: missing, never 0."""

    @property
    def is_there(self) -> bool:
        """Whether it is a number."""
        return self.value is not None and math.isfinite(self.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mean:
    """A mean and what it stands on."""

    value: float | None
    """None when nothing was there to average."""
    count: int
    """Edits averaged."""
    missing: int
    """Edits without this score."""


NOTHING = Mean(value=None, count=0, missing=0)
"""Of no edit at all."""


def means(values: Iterable[Value], by: Sequence[str]) -> dict[tuple[str, ...], Mean]:
    """Average over edits, each of which weighs the same, by what some fields hold.

    Args:
        values: In any order.
        by: Names of ``Value``'s fields, such as ``("protocol", "measure")``.

    Returns:
        By those fields' values, in the order in which they first come.
    """
    fields = [attrgetter(name) for name in by]
    groups: dict[tuple[str, ...], tuple[list[float], list[Value]]] = {}
    for one in values:
        present, missing = groups.setdefault(tuple(field(one) for field in fields), ([], []))
        if one.value is not None and one.is_there:
            present.append(one.value)
        else:
            missing.append(one)
    return {
        key: Mean(
            value=math.fsum(present) / len(present) if present else None,
            count=len(present),
            missing=len(missing),
        )
        for key, (present, missing) in groups.items()
    }
