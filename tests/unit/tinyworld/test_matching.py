"""Which slot holds which thing: told by words and places, never by the slots' order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.drawn_scenes import scenes
from tests.truth import FRAMES, changed, crossed, equal, everywhere, moved, truth, without
from tinyworld.matching import matched
from tinyworld.scenes import Scene, Thing

PAIR = Scene(
    things=(
        Thing(color="red", shape="fish"),
        Thing(color="blue", shape="car", motion="moving left"),
    ),
    background="sea",
    seed=4,
)
RED_FISH, BLUE_CAR = PAIR.words.things

FEW = st.sets(st.integers(0, FRAMES - 1)).map(sorted)


@given(scenes(things=2), FEW)
def test_slots_may_hold_things_in_any_order(shown: Scene, frames: list[int]) -> None:
    plain = truth(shown)
    found = matched(crossed(plain, frames), shown.words.things)
    assert equal(found, plain)
    other = matched(crossed(plain, frames), shown.words.things[::-1])
    assert equal(other, crossed(plain, range(FRAMES)))


wrong = st.fixed_dictionaries(
    {},
    optional={
        (name, k): st.dictionaries(st.integers(0, FRAMES - 1), st.sampled_from(words))
        for name, words in {"color": ("red", "blue", "pink"), "shape": ("fish", "car")}.items()
        for k in range(2)
    },
)


@given(wrong, FEW, FEW, st.floats(0.1, 40), st.floats(0.1, 40))
def test_faulty_readings_are_matched_whatever_their_slots(
    faults: dict[tuple[str, int], dict[int, str]],
    gone: list[int],
    frames: list[int],
    right: float,
    down: float,
) -> None:
    source = truth(PAIR)
    edit = without(source, gone)
    for (name, k), words in faults.items():
        edit = changed(edit, name, words, k)
    # No two places are equally far, so that no two ways cost the same.
    edit = moved(edit, edit.centers[:, 0] + np.array([right, down]))
    one, other = (
        matched(reading, PAIR.words.things, near=source.centers[:, :2])
        for reading in (edit, crossed(edit, frames))
    )
    assert equal(one, other)


def test_one_of_two_things_is_found_by_its_words() -> None:
    plain = crossed(truth(PAIR), [1, 2])
    for things in ([BLUE_CAR], [(None, "car")], [("blue", None)]):
        found = matched(plain, things)
        assert found.color.shape == (FRAMES, 1)
        assert found.centers.shape == (FRAMES, 1, 2)
        assert set(found.color[:, 0]) == {"blue"}
        assert np.array_equal(found.centers[:, 0], truth(PAIR).centers[:, 1])
        assert np.array_equal(found.background, plain.background)


def test_a_thing_of_no_words_is_found_by_its_place_or_its_presence() -> None:
    plain = truth(PAIR)
    found = matched(plain, [(None, None)], near=plain.centers[:, 1:2] + 1.0)
    assert set(found.shape[:, 0]) == {"car"}
    alone = matched(without(plain, range(FRAMES)), [(None, None)])
    assert set(alone.shape[:, 0]) == {"car"}


def test_words_count_more_than_places_unless_many_pixels_are_between() -> None:
    source = truth(PAIR)
    # The things have changed places: either both words of both are wrong, or both places.
    swapped = moved(source, source.centers[:, 1])
    swapped = moved(swapped, source.centers[:, 0], thing=1)
    found = matched(swapped, PAIR.words.things, near=source.centers)
    apart = np.linalg.norm(source.centers[:, 0] - source.centers[:, 1], axis=-1)
    expected = ["fish" if gap < 32 else "car" for gap in apart]
    assert list(found.shape[:, 0]) == expected
    assert set(expected) == {"fish", "car"}


@pytest.mark.parametrize("pixels", [15.0, 17.0])
def test_a_wrong_word_counts_as_sixteen_pixels(pixels: float) -> None:
    # Of two things that are both the red fish but for one's colour, one is at the place.
    things = [RED_FISH]
    both = changed(truth(PAIR), "shape", everywhere("fish"), 1)
    at = np.full((FRAMES, 2), 20.0)
    both = moved(moved(both, at + np.array([pixels, 0])), at, thing=1)
    found = matched(both, things, near=at[:, None])
    assert set(found.color[:, 0]) == {"red" if pixels < 16 else "blue"}


def test_an_empty_slot_is_taken_where_there_is_no_other() -> None:
    reading = without(truth(PAIR), [0, 1, 2])
    # A thing that is there is taken with both words wrong and at the frame's other end.
    far = np.full((FRAMES, 1, 2), 200.0)
    found = matched(moved(reading, far[:, 0]), [RED_FISH], near=far)
    assert list(found.shape[:, 0]) == ["car"] * 3 + ["fish"] * 5
    # Of two things the one that is there is told by its words, whatever the empty slot holds.
    for color, shape in ("blue", "car"), ("red", "fish"), ("pink", "ball"):
        odd = changed(changed(reading, "color", {1: color}), "shape", {1: shape})
        odd = moved(odd, far[:, 0])
        for frames in ([], [1], [0, 1]):
            both = matched(crossed(odd, frames), PAIR.words.things, near=truth(PAIR).centers)
            assert list(both.shape[:, 1]) == ["car"] * FRAMES
            assert list(both.present[:, 0]) == [0.0] * 3 + [1.0] * 5
