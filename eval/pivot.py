"""Values by edit and variant, as arrays that share one order of edits."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

from eval.bootstrap import Codes, Floats
from eval.values import Value

Kind = tuple[str, str, str]
"""Protocol, judge and measure: what is never mixed with another."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Every value by kind and variant; edits are in order of video and id."""

    columns: dict[Kind, dict[str, Floats]]
    """By kind and variant: one number for each edit, shape (E,); NaN where there is none."""
    videos_E: Codes
    """The video of each edit, in ascending order."""
    categories_E: Codes
    """The category of each edit, as a place in ``categories``."""
    categories: list[str]
    """In alphabetical order."""

    @classmethod
    def of(cls, values: Iterable[Value]) -> Self:
        """Pivot values; of two of one kind, variant and edit the later one counts.

        An edit that two variants put into different categories is in that of the first value.
        """
        numbers: dict[tuple[str, str], int] = {}
        category_of: list[str] = []
        found: dict[Kind, dict[str, tuple[array[int], array[float]]]] = {}
        for one in values:
            if one.value is None or not one.is_there:
                continue
            number = numbers.setdefault((one.video, one.edit), len(numbers))
            if number == len(category_of):
                category_of.append(one.category)
            kind = (one.protocol, one.judge, one.measure)
            column = found.setdefault(kind, {}).get(one.variant)
            if column is None:
                column = found[kind][one.variant] = (array("q"), array("d"))
            column[0].append(number)
            column[1].append(one.value)
        edits = sorted(numbers)
        ranks_E = np.empty(len(edits), np.intp)
        ranks_E[[numbers[edit] for edit in edits]] = np.arange(len(edits))
        categories = sorted(set(category_of))
        places = {category: place for place, category in enumerate(categories)}
        videos = {video: code for code, video in enumerate(dict.fromkeys(v for v, _ in edits))}
        return cls(
            columns={
                kind: {
                    variant: _spread(ranks_E[np.asarray(where)], np.asarray(what), len(edits))
                    for variant, (where, what) in of_kind.items()
                }
                for kind, of_kind in found.items()
            },
            videos_E=np.array([videos[video] for video, _ in edits], np.intp),
            categories_E=np.array([places[category_of[numbers[edit]]] for edit in edits], np.intp),
            categories=categories,
        )


def _spread(places: Codes, values: Floats, size: int) -> Floats:
    column = np.full(size, np.nan)
    column[places] = values
    return column
