"""What each rater is shown: a pure function of the plan and the rater's number.

Every draw is an order of SHA-256 digests, so a reload, another machine or another release of a
library gives the same sequence, and nothing has to be stored but the plan.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from eval.errors import EvalError
from eval.study.votes import NOISE, SOURCE, Kind, Pair, Unit

_Item = TypeVar("_Item")

_MOST_REPEATED = 0.5
"""A repeat needs as many other pairs before it as it can get."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Showing:
    """One page of a rater's sequence: all questions are asked of it."""

    pair: Pair
    kind: Kind


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A study's design.

    Raises:
        EvalError: a number is out of its range, or a unit is there twice or holds a check's clip.
    """

    units: tuple[Unit, ...]
    """What is to be judged (``units_of``): edits that both variants have a clip of."""
    seed: int = 0
    raters_per_pair: int = 5
    """Raters who see each unit."""
    pairs_per_rater: int | None = None
    """Units that a rater sees; none: all of them."""
    repeated: float = 0.1
    """Share of a rater's units that are shown again later on the other sides, rounded up."""
    checks: int = 2
    """Attention checks of a rater: the source of one of the edits against noise."""

    def __post_init__(self) -> None:
        total = len(self.units)
        if not total:
            raise EvalError("a study is of one edit or more that two variants have: it has none")
        ((most, times),) = Counter(self.units).most_common(1)
        if times > 1:
            raise EvalError(f"{_named(most)} is in the study {times} times: name it once")
        for unit in self.units:
            if unit.one >= unit.other or {unit.one, unit.other} & {SOURCE, NOISE}:
                raise EvalError(
                    f"{_named(unit)} is no pair: name two variants in alphabetical order"
                )
        most_checks = len({(unit.video, unit.edit) for unit in self.units})
        _within("raters_per_pair", self.raters_per_pair, 1, math.inf)
        _within("pairs_per_rater", self.pairs, 1, total, "the study has no more")
        _within("repeated", self.repeated, 0, _MOST_REPEATED)
        _within("checks", self.checks, 0, most_checks, "each is made of another edit")

    @property
    def pairs(self) -> int:
        """Units that a rater sees, repeats not counted."""
        return len(self.units) if self.pairs_per_rater is None else self.pairs_per_rater

    @property
    def raters(self) -> int:
        """Raters that the study needs. The last one may have fewer pairs than others."""
        return -(-len(self.units) * self.raters_per_pair // self.pairs)


def units_of(
    edits: Iterable[tuple[str, str]], variants: Iterable[tuple[str, str]]
) -> tuple[Unit, ...]:
    """Every edit with every two variants.

    Args:
        edits: Video and id of each.
        variants: Two at a time, in either order, such as ``[("full", "pnp")]``.

    Raises:
        EvalError: two variants are one.
    """
    edits = list(edits)
    found = []
    for one, other in variants:
        found += [Pair(video=v, edit=e, left=one, right=other).unit for v, e in edits]
    return tuple(found)


def showings(plan: Plan, rater: int) -> tuple[Showing, ...]:
    """The sequence of one rater.

    Units are dealt in turn from one shuffled deck that is gone through ``raters_per_pair`` times:
    a rater has no unit twice, every unit has equally many raters, and from one of its raters to the
    next its sides change. The order is the rater's own. A repeat comes after at least half of the
    rater's units (rounded down) have been shown since. Checks are spread out, one to each equal
    part of the sequence, with the source on either side in turn: who always presses one key fails.

    Args:
        plan: The design.
        rater: Their number, from 0.

    Raises:
        EvalError: the study has no rater of that number.
    """
    if not 0 <= rater < plan.raters:
        raise EvalError(
            f"rater {rater} is asked for, but the study has {plan.raters}, numbered from 0: raise "
            "raters_per_pair for more"
        )
    first = _first(plan, rater)
    return tuple(_with_checks(plan, rater, _with_repeats(plan, rater, first)))


def _first(plan: Plan, rater: int) -> list[Showing]:
    """What is to be counted, in the rater's order."""
    total = len(plan.units)
    deck = _shuffled(sorted(plan.units), plan.seed, "deck")
    start = rater * plan.pairs
    places = range(start, min(start + plan.pairs, total * plan.raters_per_pair))
    pairs = []
    for place in places:
        lap, card = divmod(place, total)
        unit = deck[card]
        pair = Pair(video=unit.video, edit=unit.edit, left=unit.one, right=unit.other)
        pairs.append(pair.swapped if (lap + _bit(plan.seed, "side", unit)) % 2 else pair)
    return [
        Showing(pair=pair, kind=Kind.FIRST) for pair in _shuffled(pairs, plan.seed, "order", rater)
    ]


def _with_repeats(plan: Plan, rater: int, first: Sequence[Showing]) -> list[Showing]:
    gap = len(first) // 2
    early = range(len(first) - gap) if gap else ()
    wanted = math.ceil(round(plan.repeated * len(first), 9))
    again = set(_shuffled(early, plan.seed, "repeats", rater)[:wanted])
    found = []
    for place, showing in enumerate(first):
        found.append(showing)
        if place - gap in again:
            pair = first[place - gap].pair.swapped
            found.append(Showing(pair=pair, kind=Kind.REPEAT))
    return found


def _with_checks(plan: Plan, rater: int, shown: Sequence[Showing]) -> list[Showing]:
    edits = sorted({(unit.video, unit.edit) for unit in plan.units})
    chosen = _shuffled(edits, plan.seed, "checks", rater)[: plan.checks]
    found = list(shown)
    for number, (video, edit) in reversed(list(enumerate(chosen))):
        start, stop = (len(shown) * end // plan.checks for end in (number, number + 1))
        (place, *_) = _shuffled(range(start, stop + 1), plan.seed, "check", rater, number)
        pair = Pair(video=video, edit=edit, left=SOURCE, right=NOISE)
        if (number + _bit(plan.seed, "check side", rater)) % 2:
            pair = pair.swapped
        found.insert(place, Showing(pair=pair, kind=Kind.CHECK))
    return found


def _shuffled(items: Iterable[_Item], *key: object) -> list[_Item]:
    return [item for _, item in sorted(enumerate(items), key=lambda one: _digest(*key, one[0]))]


def _bit(*key: object) -> int:
    return _digest(*key)[0] & 1


def _digest(*key: object) -> bytes:
    return hashlib.sha256(json.dumps(key).encode()).digest()


def _named(unit: Unit) -> str:
    return f"edit {unit.edit!r} of video {unit.video!r} by {unit.one!r} and {unit.other!r}"


def _within(name: str, number: float, low: float, high: float, why: str = "") -> None:
    if not low <= number <= high:
        bounds = f"{low} or more" if high == math.inf else f"{low} to {high}"
        raise EvalError(f"{name} is {number}, but must be {bounds}{': ' if why else ''}{why}")
