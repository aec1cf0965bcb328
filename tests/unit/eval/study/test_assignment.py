"""What raters are shown: the laws of a plan, for any plan."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.errors import EvalError
from eval.study.assignment import Plan, Showing, showings, units_of
from eval.study.attention import attention
from eval.study.votes import NOISE, SOURCE, Kind, Unit
from tests.ballots import vote

EDITS = [("bear", "bear/style"), ("bear", "bear/background"), ("cows", "cows/object")]


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    edits = [(f"v{number // 3}", f"e{number}") for number in range(draw(st.integers(1, 25)))]
    rivals = draw(st.sampled_from([["pnp"], ["pnp", "cogvideo"]]))
    units = units_of(edits, [("full", rival) for rival in rivals])
    return Plan(
        units=units,
        seed=draw(st.integers(0, 2**64)),
        raters_per_pair=draw(st.integers(1, 6)),
        pairs_per_rater=draw(st.none() | st.integers(1, len(units))),
        repeated=draw(st.sampled_from([0, 0.1, 0.25, 0.5])),
        checks=draw(st.integers(0, min(3, len(edits)))),
    )


def of_kind(shown: tuple[Showing, ...], kind: Kind) -> list[Showing]:
    return [one for one in shown if one.kind is kind]


@given(plans())
def test_every_unit_has_its_raters_and_no_rater_a_unit_twice(plan: Plan) -> None:
    everything = [showings(plan, rater) for rater in range(plan.raters)]
    seen: Counter[Unit] = Counter()
    for shown in everything:
        units = [one.pair.unit for one in of_kind(shown, Kind.FIRST)]
        assert len(set(units)) == len(units)
        seen.update(units)
    assert seen == dict.fromkeys(plan.units, plan.raters_per_pair)
    sizes = [len(of_kind(shown, Kind.FIRST)) for shown in everything]
    assert sizes[:-1] == [plan.pairs] * (plan.raters - 1)
    assert 0 < sizes[-1] <= plan.pairs


@given(plans())
def test_each_variant_stands_left_for_half_of_a_units_raters(plan: Plan) -> None:
    left: Counter[tuple[Unit, str]] = Counter()
    for rater in range(plan.raters):
        for one in of_kind(showings(plan, rater), Kind.FIRST):
            left[one.pair.unit, one.pair.left] += 1
    for unit in plan.units:
        assert abs(left[unit, unit.one] - left[unit, unit.other]) <= 1


@given(plans())
def test_a_tenth_is_shown_again_later_on_the_other_sides(plan: Plan) -> None:
    for rater in range(plan.raters):
        shown = showings(plan, rater)
        first = of_kind(shown, Kind.FIRST)
        repeats = of_kind(shown, Kind.REPEAT)
        expected = math.ceil(round(plan.repeated * len(first), 6)) if len(first) > 1 else 0
        assert len(repeats) == expected
        assert len({one.pair.unit for one in repeats}) == len(repeats)
        for place, one in enumerate(shown):
            if one.kind is Kind.REPEAT:
                before = shown.index(Showing(pair=one.pair.swapped, kind=Kind.FIRST))
                between = of_kind(shown[before + 1 : place], Kind.FIRST)
                assert len(between) >= len(first) // 2


@given(plans())
def test_checks_are_spread_and_change_sides(plan: Plan) -> None:
    edits = {(unit.video, unit.edit) for unit in plan.units}
    for rater in range(plan.raters):
        shown = showings(plan, rater)
        checks = of_kind(shown, Kind.CHECK)
        assert len(checks) == plan.checks
        assert len({(one.pair.video, one.pair.edit) for one in checks} & edits) == plan.checks
        assert all({one.pair.left, one.pair.right} == {SOURCE, NOISE} for one in checks)
        sides = [one.pair.left for one in checks]
        assert all(one != other for one, other in pairwise(sides))
        rest = len(shown) - plan.checks
        for number, one in enumerate(checks):
            before = shown.index(one) - number
            assert rest * number // plan.checks <= before <= rest * (number + 1) // plan.checks


@given(plans())
def test_a_reload_gives_the_same_and_the_units_order_does_not_matter(plan: Plan) -> None:
    for rater in range(plan.raters):
        shown = showings(plan, rater)
        assert showings(plan, rater) == shown
        assert showings(replace(plan, units=plan.units[::-1]), rater) == shown


def test_the_papers_study_in_numbers() -> None:
    edits = [(f"v{number // 4}", f"e{number}") for number in range(140)]
    plan = Plan(units=units_of(edits, [("full", "pnp")]), pairs_per_rater=20)
    assert plan.raters == 35
    assert len(showings(plan, 0)) == 20 + 2 + 2
    everyone = replace(plan, pairs_per_rater=None)
    assert everyone.raters == 5
    assert len(showings(everyone, 4)) == 140 + 14 + 2


def test_a_sequence_never_changes() -> None:
    """Recorded: a rater may come back after the program was renewed."""
    plan = Plan(units=units_of(EDITS, [("pnp", "full")]), seed=7, raters_per_pair=2, checks=1)
    shown = [(one.kind.value, one.pair.edit, one.pair.left) for one in showings(plan, 1)]
    assert shown == RECORDED


RECORDED = [
    ("first", "bear/style", "pnp"),
    ("first", "bear/background", "full"),
    ("repeat", "bear/style", "full"),
    ("first", "cows/object", "pnp"),
    ("check", "bear/style", "@noise"),
]


def test_another_process_agrees() -> None:
    code = (
        "from eval.study.assignment import *\n"
        f"plan = Plan(units=units_of({EDITS!r}, [('full', 'pnp')]))\n"
        "print([showings(plan, rater) for rater in range(5)])"
    )
    plan = Plan(units=units_of(EDITS, [("full", "pnp")]))
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert told.strip() == repr([showings(plan, rater) for rater in range(5)])


def test_order_and_sides_differ_between_raters_and_seeds() -> None:
    edits = [("v", f"e{number}") for number in range(30)]
    plan = Plan(units=units_of(edits, [("full", "pnp")]))
    others = [showings(plan, 0), showings(plan, 2), showings(replace(plan, seed=1), 0)]
    orders = [[one.pair.unit for one in of_kind(shown, Kind.FIRST)] for shown in others]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    left = Counter(one.pair.left for one in of_kind(others[0], Kind.FIRST))
    assert min(left.values()) >= 5, "fewer of 30 are less likely than 1 in 10,000"


@pytest.mark.parametrize("key", ["L", "R", "="])
def test_who_always_presses_one_key_fails(key: str) -> None:
    plan = Plan(units=units_of(EDITS, [("full", "pnp")]))
    for rater in range(plan.raters):
        shown = showings(plan, rater)
        votes = [vote("r", key, pair=one.pair, kind=one.kind) for one in shown]
        assert attention(votes).failed == ("r",)


def test_units_are_every_edit_with_every_two_variants() -> None:
    found = units_of(EDITS[:2], [("full", "pnp"), ("full", "cogvideo")])
    assert found == (
        Unit("bear", "bear/style", "full", "pnp"),
        Unit("bear", "bear/background", "full", "pnp"),
        Unit("bear", "bear/style", "cogvideo", "full"),
        Unit("bear", "bear/background", "cogvideo", "full"),
    )
    with pytest.raises(EvalError, match="'full' on both sides"):
        units_of(EDITS, [("full", "full")])


UNITS = units_of(EDITS, [("full", "pnp")])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"units": ()}, "of one edit or more"),
        ({"units": (*UNITS, UNITS[0])}, r"'bear/style' of video 'bear' .* in the study 2 times"),
        ({"units": (Unit("v", "e", "pnp", "full"),)}, "in alphabetical order"),
        ({"units": (Unit("v", "e", "full", "full"),)}, "name two variants"),
        ({"units": (Unit("v", "e", "@noise", "full"),)}, "'@noise' and 'full' is no pair"),
        ({"raters_per_pair": 0}, "raters_per_pair is 0, but must be 1 or more"),
        ({"pairs_per_rater": 0}, "pairs_per_rater is 0, but must be 1 to 3"),
        ({"pairs_per_rater": 4}, "pairs_per_rater is 4, but must be 1 to 3: the study has no more"),
        ({"repeated": 0.6}, r"repeated is 0.6, but must be 0 to 0.5"),
        ({"repeated": -0.1}, r"repeated is -0.1"),
        ({"repeated": math.nan}, r"repeated is nan"),
        ({"checks": 4}, "checks is 4, but must be 0 to 3: each is made of another edit"),
        ({"checks": -1}, "checks is -1"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(EvalError, match=message):
        replace(Plan(units=UNITS), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("rater", [-1, 5])
def test_a_rater_whom_the_study_does_not_have_is_refused(rater: int) -> None:
    with pytest.raises(EvalError, match=f"rater {rater} is asked for, but the study has 5"):
        showings(Plan(units=UNITS), rater)


def test_one_edit_has_no_repeat() -> None:
    plan = Plan(units=UNITS[:1], checks=1)
    assert sorted(one.kind for one in showings(plan, 0)) == [Kind.CHECK, Kind.FIRST]
