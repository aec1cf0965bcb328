"""Ground-truth scores of drawn clips, read by one who knows what was drawn."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.errors import EvalError
from eval.ground_truth import STILL, ground_truth
from tests.drawn_scenes import edited_scenes, edits, scenes
from tests.truth import FRAMES, changed, crossed, everywhere, moved, truth, without
from tinyworld.edits import others, replaced, swapped
from tinyworld.reader import Reading
from tinyworld.scenes import (
    ATTRIBUTES,
    MOTIONS,
    OF_A_THING,
    OF_THE_FRAME,
    Scene,
    Thing,
    single,
)

SOURCE = single(color="red", shape="fish", background="sea", seed=3)
EDITED = replaced(SOURCE, 0, "color", "blue")
STYLED = replace(EDITED, style="cartoon", background="snow")

PAIR = Scene(
    things=(
        Thing(color="red", shape="fish", motion="moving right"),
        Thing(color="blue", shape="star", motion="rising"),
    ),
    background="sea",
    seed=3,
)
GREEN = replaced(PAIR, 0, "color", "green")
"""The pair with a green fish."""

STEPS = FRAMES - 1
ALL = range(FRAMES)


def scored(
    edit: Reading,
    source: Scene = SOURCE,
    edited: Scene = EDITED,
    read: Reading | None = None,
) -> dict[str, Any]:
    reading = truth(source) if read is None else read
    return ground_truth(edit, reading, source.caption(), edited.caption())


def best(source: Scene, edited: Scene) -> dict[str, Any]:
    """What a perfect edit is given."""
    differ = [
        {n for n in OF_A_THING if getattr(old, n) != getattr(new, n)}
        for old, new in zip(source.things, edited.things, strict=True)
    ]
    frame = {n for n in OF_THE_FRAME if getattr(source, n) != getattr(edited, n)}
    count = sum(map(len, differ)) + len(frame)
    return {
        "edited_right": 100 if count else None,
        "unedited_kept": 100 if count < 2 * len(differ) + 2 else None,
        "wrong_object_changed": 0 if sum(map(bool, differ)) == 1 < len(differ) else None,
        "identity_kept": pytest.approx(100),
        "identity_drift": pytest.approx(0),
        "motion_correlation": pytest.approx(1),
        "flicker": 0,
        "jitter": pytest.approx(0),
    }


@given(edited_scenes())
def test_a_perfect_edit_scores_best(both: tuple[Scene, Scene]) -> None:
    source, edited = both
    assert scored(truth(edited), source, edited) == best(source, edited)


@given(edited_scenes(), st.sets(st.integers(0, STEPS)), st.sets(st.integers(0, STEPS)))
def test_slots_may_hold_things_in_any_order(
    both: tuple[Scene, Scene], one: set[int], other: set[int]
) -> None:
    source, edited = both
    readings = crossed(truth(edited), sorted(one)), crossed(truth(source), sorted(other))
    found = ground_truth(*readings, source.caption(), edited.caption(motion=False))
    assert found == best(source, edited)


@given(scenes(things=2), st.integers(0, 1), st.data())
def test_a_prompt_may_name_the_things_in_the_other_order(
    source: Scene, index: int, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(OF_A_THING))
    edited = replaced(source, index, name, data.draw(st.sampled_from(others(source, name))))
    turned = replace(edited, things=edited.things[::-1])
    found = ground_truth(truth(edited), truth(source), source.caption(), turned.caption())
    assert found == best(source, edited)


hidden = st.lists(st.sets(st.integers(0, STEPS), max_size=3), min_size=2, max_size=2)


@given(edited_scenes(things=2), hidden, st.data())
def test_what_the_source_hides_does_not_count(
    both: tuple[Scene, Scene], unseen: list[set[int]], data: st.DataObject
) -> None:
    """Whatever the edit shows of it."""
    source, edited = both
    read, edit = truth(source), truth(edited)
    for k, frames in enumerate(unseen):
        read = without(read, sorted(frames), k)
        gone = data.draw(st.sets(st.sampled_from(sorted(frames)))) if frames else set()
        edit = without(edit, sorted(gone), k)
        for name, value in (("pattern", "?"), ("shade", 3.0), ("size", 40.0)):
            edit = changed(edit, name, dict.fromkeys(frames, value), k)
    found, expected = scored(edit, source, edited, read), best(source, edited)
    if found["identity_drift"] is None:  # never seen in two frames on end
        assert found["jitter"] is None
        return
    assert found == expected


# --- what an edit should change and keep ------------------------------------------------------


def test_a_clip_that_was_not_edited_is_kept_and_not_right() -> None:
    scores = scored(truth(SOURCE), edited=STYLED)
    assert (scores["edited_right"], scores["unedited_kept"]) == (0, 100)
    assert (scores["identity_kept"], scores["identity_drift"]) == (100, 0)


def test_a_frame_is_right_when_every_word_asked_for_is() -> None:
    edit = changed(truth(STYLED), "color", {0: "red"})
    edit = changed(edit, "background", {0: "sand", 1: "sand"})
    assert scored(without(edit, [2]), edited=STYLED)["edited_right"] == 100 * 5 / 8


@pytest.mark.parametrize(("name", "word"), [("background", "snow"), ("style", "sketch")])
def test_an_edit_without_its_thing_is_not_right(name: Any, word: str) -> None:
    edited = replaced(SOURCE, 0, name, word)
    scores = scored(without(truth(edited), ALL), edited=edited)
    assert scores["edited_right"] == 0
    # Of colour, shape and the third attribute, the last alone can outlive the thing.
    assert scores["unedited_kept"] == pytest.approx(100 / 3)
    assert scores["identity_kept"] == pytest.approx(100 * 2 / 6)
    assert (scores["identity_drift"], scores["jitter"]) == (None, None)
    assert scores["motion_correlation"] == 0


def test_a_thing_at_the_frame_s_other_end_is_there() -> None:
    far = moved(truth(EDITED), truth(EDITED).centers[:, 0] + 200)
    assert scored(far) == best(SOURCE, EDITED)
    far = moved(truth(GREEN), truth(GREEN).centers[:, 0] + 40)
    assert scored(far, PAIR, GREEN)["edited_right"] == 100


def test_an_edit_that_loses_the_other_thing_is_not_right() -> None:
    scores = scored(without(truth(GREEN), [1, 2], thing=1), PAIR, GREEN)
    assert scores["edited_right"] == 100 * 6 / 8
    assert scores["wrong_object_changed"] == 100 * 2 / 8
    # Of fish's shape, the star's colour and shape, background and style.
    assert scores["unedited_kept"] == pytest.approx(100 * (1 - 2 * 2 / 8 / 5))
    assert scores["flicker"] == pytest.approx(100 * 2 * 2 / (2 * STEPS))
    assert scores["motion_correlation"] == pytest.approx(1)


@pytest.mark.parametrize("wrong", range(FRAMES + 1))
def test_each_wrong_frame_costs_its_share(wrong: int) -> None:
    edit = changed(truth(GREEN), "color", dict.fromkeys(range(wrong), "red"))
    scores = scored(edit, PAIR, GREEN)
    assert scores["edited_right"] == pytest.approx(100 * (1 - wrong / FRAMES))
    assert (scores["unedited_kept"], scores["wrong_object_changed"]) == (100, 0)
    edit = changed(truth(GREEN), "background", dict.fromkeys(range(wrong), "road"))
    scores = scored(edit, PAIR, GREEN)
    assert scores["unedited_kept"] == pytest.approx(100 * (1 - wrong / FRAMES / 5))
    assert scores["edited_right"] == 100


def test_kept_is_the_mean_over_frames_and_attributes() -> None:
    edit = changed(truth(EDITED), "shape", {1: "car", 2: "car", 3: "car"})
    edit = changed(edit, "style", {1: "sketch"})
    assert scored(edit)["unedited_kept"] == pytest.approx(100 * (1 - 4 / (3 * FRAMES)))


def test_what_the_prompts_do_not_name_is_compared_with_the_source_clip() -> None:
    source = changed(truth(SOURCE), "background", {0: "road", 1: "road"})  # mostly the sea
    prompts = ("a red fish", "a blue fish")
    assert ground_truth(truth(EDITED), source, *prompts)["unedited_kept"] == 100
    on_sand = truth(replace(EDITED, background="sand"))
    assert ground_truth(on_sand, source, *prompts)["unedited_kept"] == pytest.approx(200 / 3)


def test_the_wrong_thing_s_colour_is_changed() -> None:
    """The star became green and the fish stayed red."""
    edit = truth(replaced(PAIR, 1, "color", "green"))
    scores = scored(edit, PAIR, GREEN)
    assert (scores["edited_right"], scores["wrong_object_changed"]) == (0, 100)
    assert scores["unedited_kept"] == pytest.approx(100 * 4 / 5)
    assert scores["identity_kept"] == pytest.approx(100)
    assert scores["motion_correlation"] == pytest.approx(1)


@pytest.mark.parametrize(("name", "word"), [("color", "green"), ("shape", "car")])
@pytest.mark.parametrize("frames", [[0], [2, 3, 4], list(ALL)], ids=len)
def test_both_things_become_what_one_was_asked_to_be(
    name: Any, word: str, frames: list[int]
) -> None:
    edited = replaced(PAIR, 0, name, word)
    edit = changed(truth(edited), name, dict.fromkeys(frames, word), thing=1)
    scores = scored(edit, PAIR, edited)
    assert scores["edited_right"] == 100
    assert scores["wrong_object_changed"] == pytest.approx(100 * len(frames) / FRAMES)
    assert scores["unedited_kept"] == pytest.approx(100 * (1 - len(frames) / FRAMES / 5))


@pytest.mark.parametrize("index", [0, 1])
def test_one_of_two_that_should_change_changes(index: int) -> None:
    edited = replaced(GREEN, 1, "shape", "car")
    half = [replaced(PAIR, 0, "color", "green"), replaced(PAIR, 1, "shape", "car")][index]
    scores = scored(truth(half), PAIR, edited)
    assert (scores["edited_right"], scores["unedited_kept"]) == (0, 100)
    assert scores["wrong_object_changed"] is None, "both are to change"
    mostly = [
        changed(truth(edited), "shape", {0: "star"}, thing=1),
        changed(truth(edited), "color", {0: "red"}),
    ][index]
    assert scored(mostly, PAIR, edited)["edited_right"] == 100 * 7 / 8


def test_two_that_should_swap_their_colours() -> None:
    edited = swapped(PAIR, np.random.default_rng(0))
    assert scored(truth(edited), PAIR, edited) == best(PAIR, edited)
    kept = scored(truth(PAIR), PAIR, edited)
    assert (kept["edited_right"], kept["unedited_kept"]) == (0, 100)
    assert kept["wrong_object_changed"] is None
    assert kept["jitter"] == pytest.approx(0)


def test_a_background_s_edit_changes_no_thing_and_has_no_wrong_one() -> None:
    edited = replace(PAIR, background="snow")
    scores = scored(changed(truth(edited), "color", everywhere("pink")), PAIR, edited)
    assert (scores["edited_right"], scores["wrong_object_changed"]) == (100, None)
    assert scores["unedited_kept"] == pytest.approx(100 * 4 / 5)


def test_where_the_source_never_shows_the_edited_thing_the_edit_is_judged_by_its_own() -> None:
    source = without(truth(PAIR), ALL)
    assert scored(truth(GREEN), PAIR, GREEN, source)["edited_right"] == 100
    lost = without(truth(GREEN), [0, 1])
    assert scored(lost, PAIR, GREEN, source)["edited_right"] == 100 * 6 / 8


# --- steadiness and motion ---------------------------------------------------------------------


def test_flicker_counts_changes_between_neighbours() -> None:
    once = changed(truth(EDITED), "color", dict.fromkeys(range(4, FRAMES), "pink"))
    assert scored(once)["flicker"] == pytest.approx(100 / STEPS)
    one_frame = changed(truth(EDITED), "color", {4: "pink"})
    assert scored(one_frame)["flicker"] == pytest.approx(200 / STEPS)
    gone = without(truth(EDITED), [FRAMES - 1])  # colour and shape go with the thing
    assert scored(gone)["flicker"] == pytest.approx(200 / STEPS)


def test_flicker_of_one_of_two_things_counts_half_and_of_the_frame_whole() -> None:
    one_frame = changed(truth(GREEN), "shape", {4: "car"}, thing=1)
    assert scored(one_frame, PAIR, GREEN)["flicker"] == pytest.approx(100 / STEPS)
    one_frame = changed(truth(GREEN), "background", {4: "snow"})
    assert scored(one_frame, PAIR, GREEN)["flicker"] == pytest.approx(200 / STEPS)
    # Of the pairs that the source shows: its star is behind the fish in the first two frames.
    source = without(truth(PAIR), [0, 1], thing=1)
    one_frame = changed(truth(GREEN), "shape", {0: "car", 4: "car"}, thing=1)
    shown = 2 * STEPS - 2
    assert scored(one_frame, PAIR, GREEN, source)["flicker"] == pytest.approx(200 / shown)


@pytest.mark.parametrize("source", [SOURCE, PAIR], ids=["one", "two"])
def test_flicker_ends_at_400(source: Scene) -> None:
    restless = truth(source)
    for name, values in ATTRIBUTES.items():
        for k in range(len(source.things) if name in OF_A_THING else 1):
            restless = changed(restless, name, {i: values[i % 2 + 2 * k] for i in ALL}, k)
    assert scored(restless, source, source)["flicker"] == 400


def frozen(edit: Reading, thing: int = 0) -> Reading:
    return moved(edit, np.repeat(edit.centers[:1, thing], FRAMES, axis=0), thing)


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_frozen_thing_follows_nothing(motion: str) -> None:
    source = single(color="red", shape="fish", background="sea", motion=motion, seed=3)
    edited = replaced(source, 0, "color", "blue")
    edit = frozen(truth(edited))
    scores = scored(edit, source, edited)
    assert scores["motion_correlation"] == 0
    steps = np.diff(truth(source).centers[:, 0], axis=0)
    assert scores["jitter"] == pytest.approx(math.sqrt((steps**2).sum(axis=1).mean()))
    # A reader's noise of a tenth of a pixel is no motion.
    noise = np.random.default_rng(0).normal(0, 0.1, (FRAMES, 2))
    noisy = moved(edit, edit.centers[:, 0] + noise)
    assert scored(noisy, source, edited)["motion_correlation"] == 0


def test_motion_is_the_mean_over_the_things() -> None:
    one = frozen(truth(GREEN), thing=1)
    assert scored(one, PAIR, GREEN)["motion_correlation"] == pytest.approx(0.5)
    both = frozen(one)
    assert scored(both, PAIR, GREEN)["motion_correlation"] == 0
    # A thing that stands still in the source does not count.
    still = frozen(truth(PAIR), thing=1)
    assert scored(truth(GREEN), PAIR, GREEN, still)["motion_correlation"] == pytest.approx(1)
    mirrored = moved(truth(GREEN), -truth(GREEN).centers[:, 0])
    assert scored(mirrored, PAIR, GREEN)["motion_correlation"] == pytest.approx(0)


def test_a_still_source_cannot_be_followed() -> None:
    place = np.full((FRAMES, 2), 30.0)
    still = moved(truth(SOURCE), place)
    assert scored(truth(EDITED), read=still)["motion_correlation"] is None
    place = place + np.where(np.arange(FRAMES)[:, None] % 2, 1.01, -1.01) * STILL * [1, 0]
    assert scored(truth(EDITED), read=moved(still, place))["motion_correlation"] is not None
    absent = without(truth(SOURCE), range(1, FRAMES))
    assert scored(truth(EDITED), read=absent)["motion_correlation"] is None


def test_a_thing_that_vanishes_for_more_than_half_follows_nothing() -> None:
    half = scored(without(truth(EDITED), [4, 5, 6, 7]))
    assert (half["motion_correlation"], half["jitter"]) == (pytest.approx(1), pytest.approx(0))
    most = scored(without(truth(EDITED), [3, 4, 5, 6, 7]))
    assert (most["motion_correlation"], most["jitter"]) == (0, pytest.approx(0))


def test_jitter_is_in_pixels_from_frame_to_frame() -> None:
    shake = np.zeros((FRAMES, 2))
    shake[::2] = [3, 4]  # five pixels there and back
    edit = moved(truth(EDITED), truth(EDITED).centers[:, 0] + shake)
    assert scored(edit)["jitter"] == pytest.approx(5)
    # Of two things one is steady.
    edit = moved(truth(GREEN), truth(GREEN).centers[:, 0] + shake)
    assert scored(edit, PAIR, GREEN)["jitter"] == pytest.approx(5 / math.sqrt(2))


offsets = st.tuples(st.floats(-20, 20), st.floats(-20, 20))


def shifted(edit: Reading, offset: Any, things: int) -> Reading:
    for k in range(things):
        edit = moved(edit, edit.centers[:, k] + np.array(offset), k)
    return edit


@given(scenes(), offsets, st.floats(0.5, 3))
def test_the_same_motion_elsewhere_or_larger_is_the_same_motion(
    source: Scene, offset: tuple[float, float], factor: float
) -> None:
    edited, things = replace(source, background=others(source, "background")[0]), len(source.things)
    edit = truth(edited)
    there = scored(shifted(edit, offset, things), source, edited)
    assert there["jitter"] == pytest.approx(0, abs=1e-9)
    assert there["motion_correlation"] == pytest.approx(1)
    for k in range(things):
        edit = moved(edit, edit.centers[:, k] * factor, k)
    assert scored(edit, source, edited)["motion_correlation"] == pytest.approx(1)


@given(scenes(things=1))
def test_a_mirrored_motion_is_the_opposite(source: Scene) -> None:
    edited = replaced(source, 0, "color", others(source, "color")[0])
    mirrored = moved(truth(edited), -truth(edited).centers[:, 0])
    assert scored(mirrored, source, edited)["motion_correlation"] == pytest.approx(-1)


def test_every_motion_is_told_from_most_others() -> None:
    moving = {
        motion: single(color="red", shape="fish", background="sea", motion=motion, seed=3)
        for motion in MOTIONS
    }
    for one, other in itertools.combinations(MOTIONS, 2):
        edited = replaced(moving[one], 0, "color", "blue")
        scores = scored(truth(edited), moving[other], edited)
        assert scores["motion_correlation"] < 0.95, (one, other)


# --- laws and refusals -------------------------------------------------------------------------

RANGES = {
    "edited_right": (0, 100),
    "unedited_kept": (0, 100),
    "wrong_object_changed": (0, 100),
    "identity_kept": (0, 100),
    "identity_drift": (0, 100),
    "motion_correlation": (-1, 1),
    "flicker": (0, 400),
    "jitter": (0, math.inf),
}
tracks = st.lists(offsets, min_size=FRAMES, max_size=FRAMES).map(np.array)
some_frames = st.sets(st.integers(0, STEPS)).map(sorted)


@given(scenes(), st.data(), tracks, some_frames, some_frames, some_frames)
def test_scores_stay_in_range_and_time_has_no_direction(
    source: Scene,
    data: st.DataObject,
    shake: Any,
    gone: Sequence[int],
    unseen: Sequence[int],
    turned: Sequence[int],
) -> None:
    edited = data.draw(edits(source))
    edit = without(moved(truth(edited), truth(edited).centers[:, 0] + shake), gone)
    read = without(truth(source), unseen, len(source.things) - 1)
    prompts = source.caption(), edited.caption()
    scores = ground_truth(crossed(edit, turned), read, *prompts)
    assert scores.keys() == RANGES.keys()
    for name, (low, high) in RANGES.items():
        value = scores[name]
        assert value is None or low <= value <= high, name
    back = slice(None, None, -1)
    backwards = ground_truth(edit.at(back), read.at(back), *prompts)
    for name, value in scores.items():
        expected = None if value is None else pytest.approx(value, abs=1e-9)
        assert backwards[name] == expected, name


@pytest.mark.parametrize(("edit", "source"), [(4, 8), (1, 1)])
def test_clips_of_unequal_or_no_length_are_refused(edit: int, source: int) -> None:
    with pytest.raises(EvalError, match=rf"the edit has {edit} frame.*source {source}"):
        ground_truth(truth(EDITED, edit), truth(SOURCE, source), SOURCE.caption(), EDITED.caption())


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("a panda eats bamboo", "names nothing of the tiny world"),
        ("a red fish and a blue star", "name equally many"),
    ],
)
def test_prompts_that_say_nothing_of_the_task_are_refused(prompt: str, message: str) -> None:
    with pytest.raises(EvalError, match=message):
        ground_truth(truth(EDITED), truth(SOURCE), SOURCE.caption(), prompt)
