"""What no caption names: decided by the seed, the same whatever the words, each for itself."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.drawn_scenes import edits, scenes
from tinyworld.details import PATTERNS, RIMS, front, looks, place
from tinyworld.scenes import CAMERAS, MOTIONS, Scene, Thing

PAIR = (Thing(color="red", shape="fish"), Thing(color="blue", shape="car"))
MANY = [Scene(things=PAIR, background="sea", seed=seed) for seed in range(300)]


@given(scenes(), st.data())
def test_no_word_changes_a_detail(shown: Scene, data: st.DataObject) -> None:
    edited = data.draw(edits(shown))
    motion = data.draw(st.sampled_from(MOTIONS))
    other = replace(
        edited,
        things=tuple(replace(thing, motion=motion) for thing in edited.things),
        camera=data.draw(st.sampled_from(CAMERAS)),
    )
    assert (looks(other), place(other), front(other)) == (looks(shown), place(shown), front(shown))


@given(scenes())
def test_details_are_in_their_ranges(shown: Scene) -> None:
    for look in looks(shown):
        assert look.pattern in PATTERNS
        assert look.rim in RIMS
        assert 0 <= look.phase < 1
        assert -1 <= look.shade <= 1
        assert 10 <= look.size <= 16
    ground = place(shown)
    assert all(0 <= at < 1 for at in ground.offset)
    assert -1 <= ground.tint <= 1
    assert -1 <= ground.light <= 1
    assert 0 <= front(shown) < len(shown.things)


def test_another_seed_is_another_look() -> None:
    for one, other in itertools.pairwise(MANY):
        assert looks(one) != looks(other)
        assert place(one) != place(other)
    assert {look.pattern for scene in MANY for look in looks(scene)} == set(PATTERNS)
    assert {look.rim for scene in MANY for look in looks(scene)} == set(RIMS)
    assert 100 < sum(front(scene) for scene in MANY) < 200


def test_one_detail_says_nothing_of_another() -> None:
    rows = []
    for scene in MANY:
        ground = place(scene)
        words = [PATTERNS.index(x.pattern) for x in looks(scene)]
        words += [RIMS.index(x.rim) for x in looks(scene)]
        numbers = [x for look in looks(scene) for x in (look.phase, look.shade, look.size)]
        rows.append([*words, *numbers, *ground.offset, ground.tint, ground.light, front(scene)])
    related = np.abs(np.corrcoef(np.array(rows).T))
    for first, second in itertools.combinations(range(len(related)), 2):
        assert related[first, second] < 0.25, (first, second)
