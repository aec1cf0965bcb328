"""Scenes that differ from another in a word or two."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.drawn_scenes import scenes
from tinyworld.edits import one_word_off, others, replaced, swapped
from tinyworld.scenes import ATTRIBUTES, OF_A_THING, OF_THE_FRAME, Scene


def differences(one: Scene, other: Scene) -> list[str]:
    """The attributes in which two scenes differ, once for each place."""
    found: list[str] = [name for name in OF_THE_FRAME if getattr(one, name) != getattr(other, name)]
    for first, second in zip(one.things, other.things, strict=True):
        found += [n for n in OF_A_THING if getattr(first, n) != getattr(second, n)]
    return found


def unsaid(scene: Scene) -> object:
    return scene.seed, scene.camera, [thing.motion for thing in scene.things]


@given(scenes(), st.integers(0, 999))
def test_one_word_off_is_one_word_off(shown: Scene, seed: int) -> None:
    edited = one_word_off(shown, np.random.default_rng(seed))
    assert len(differences(shown, edited)) == 1
    assert unsaid(edited) == unsaid(shown)
    assert edited == one_word_off(shown, np.random.default_rng(seed))


@given(scenes(things=2))
def test_every_place_has_its_turn(shown: Scene) -> None:
    rng = np.random.default_rng(0)
    found = [one_word_off(shown, rng) for _ in range(100)]
    assert {name for edited in found for name in differences(shown, edited)} == set(ATTRIBUTES)
    for k in range(2):
        assert any(edited.things[k] != shown.things[k] for edited in found)


@given(scenes())
def test_others_are_all_words_that_the_scene_has_nowhere(shown: Scene) -> None:
    for name, words in ATTRIBUTES.items():
        used = [getattr(shown, name)] if name in OF_THE_FRAME else []
        used += [getattr(t, name) for t in shown.things] if name in OF_A_THING else []
        assert sorted([*others(shown, name), *used]) == sorted(words)


@given(scenes(), st.data())
def test_a_word_is_replaced_in_its_place_alone(shown: Scene, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(tuple(ATTRIBUTES)))
    index = data.draw(st.integers(0, len(shown.things) - 1))
    word = data.draw(st.sampled_from(others(shown, name)))
    edited = replaced(shown, index, name, word)
    assert differences(shown, edited) == [name]
    assert getattr(edited if name in OF_THE_FRAME else edited.things[index], name) == word
    back = getattr(shown if name in OF_THE_FRAME else shown.things[index], name)
    assert replaced(edited, index, name, back) == shown


@given(scenes(things=2))
def test_two_things_swap_their_colours(shown: Scene) -> None:
    rng = np.random.default_rng(1)
    edited = swapped(shown, rng)
    assert differences(shown, edited) == ["color", "color"]
    assert {t.color for t in edited.things} == {t.color for t in shown.things}
    assert [t.shape for t in edited.things] == [t.shape for t in shown.things]
    assert swapped(edited, rng) == shown


@given(scenes(things=1))
def test_of_a_lone_thing_one_word_is_off(shown: Scene) -> None:
    assert len(differences(shown, swapped(shown, np.random.default_rng(1)))) == 1
    assert replace(shown) == shown
