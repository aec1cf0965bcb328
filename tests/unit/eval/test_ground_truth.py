"""Ground-truth scores of drawn clips, read by one who knows what was drawn."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.errors import EvalError
from eval.ground_truth import STILL, ground_truth
from tests.truth import FRAMES, moved, reworded, truth, without_object
from tinyworld.reader import Reading
from tinyworld.scenes import ATTRIBUTES, MOTIONS, Scene

SOURCE = Scene(color="red", shape="fish", background="sea", motion="moving right", seed=3)
EDITED = dataclasses.replace(SOURCE, color="blue")
STYLED = dataclasses.replace(EDITED, style="cartoon", background="snow")


def scored(edit: Reading, source: Scene = SOURCE, edited: Scene = EDITED) -> dict[str, Any]:
    return ground_truth(edit, truth(source), source.caption(), edited.caption())


words = {name: st.sampled_from(values) for name, values in ATTRIBUTES.items()}
scenes = st.builds(Scene, **words, motion=st.sampled_from(MOTIONS), seed=st.integers(0, 1000))


@given(scenes, st.fixed_dictionaries({}, optional=words))
def test_a_perfect_edit_scores_best(source: Scene, changes: dict[str, str]) -> None:
    edited = dataclasses.replace(source, **changes)  # type: ignore[arg-type]
    changed = [name for name in ATTRIBUTES if getattr(source, name) != getattr(edited, name)]
    scores = scored(truth(edited), source, edited)
    assert scores == {
        "edited_right": 100 if changed else None,
        "unedited_kept": 100 if len(changed) < len(ATTRIBUTES) else None,
        "motion_correlation": pytest.approx(1),
        "flicker": 0,
        "jitter": 0,
    }


def test_a_clip_that_was_not_edited_is_kept_and_not_right() -> None:
    scores = scored(truth(SOURCE), edited=STYLED)
    assert (scores["edited_right"], scores["unedited_kept"]) == (0, 100)


def test_a_frame_is_right_when_every_word_asked_for_is() -> None:
    edit = reworded(truth(STYLED), "color", {0: "red"})
    edit = reworded(edit, "background", {0: "sand", 1: "sand"})
    assert scored(without_object(edit, [2]), edited=STYLED)["edited_right"] == 100 * 5 / 8


@pytest.mark.parametrize("name", ["background", "style"])
def test_an_edit_without_its_object_is_not_right(name: str) -> None:
    edited = (
        dataclasses.replace(SOURCE, background="snow")
        if name == "background"
        else dataclasses.replace(SOURCE, style="sketch")
    )
    edit = without_object(truth(edited), list(range(FRAMES)))
    scores = scored(edit, edited=edited)
    assert scores["edited_right"] == 0
    # Of colour, shape and the third attribute, the last alone can outlive the object.
    assert scores["unedited_kept"] == pytest.approx(100 / 3)
    assert (scores["motion_correlation"], scores["jitter"]) == (0, None)


def test_kept_is_the_mean_over_frames_and_attributes() -> None:
    edit = reworded(truth(EDITED), "shape", {1: "car", 2: "car", 3: "car"})
    edit = reworded(edit, "style", {1: "sketch"})
    assert scored(edit)["unedited_kept"] == pytest.approx(100 * (1 - 4 / (3 * FRAMES)))


def test_what_the_prompts_do_not_name_is_compared_with_the_source_clip() -> None:
    source = reworded(truth(SOURCE), "background", {0: "road", 1: "road"})  # mostly the sea
    prompts = ("a red fish", "a blue fish")
    assert ground_truth(truth(EDITED), source, *prompts)["unedited_kept"] == 100
    on_sand = truth(dataclasses.replace(EDITED, background="sand"))
    assert ground_truth(on_sand, source, *prompts)["unedited_kept"] == pytest.approx(200 / 3)


def test_a_word_that_only_the_source_prompt_names_is_neither_asked_for_nor_kept() -> None:
    edit = truth(dataclasses.replace(SOURCE, color="green"))
    scores = ground_truth(edit, truth(SOURCE), "a red fish over the sea", "a fish over the sea")
    assert (scores["edited_right"], scores["unedited_kept"]) == (None, 100)


def test_a_style_that_the_edited_prompt_leaves_out_is_the_plain_one() -> None:
    source = dataclasses.replace(SOURCE, style="mosaic")
    assert scored(truth(SOURCE), source, SOURCE)["edited_right"] == 100
    assert scored(truth(source), source, SOURCE)["edited_right"] == 0


def test_flicker_counts_changes_between_neighbours() -> None:
    once = reworded(truth(EDITED), "color", dict.fromkeys(range(4, FRAMES), "pink"))
    assert scored(once)["flicker"] == pytest.approx(100 / 7)
    one_frame = reworded(truth(EDITED), "color", {4: "pink"})
    assert scored(one_frame)["flicker"] == pytest.approx(200 / 7)
    gone = without_object(truth(EDITED), [FRAMES - 1])  # colour and shape go with the object
    assert scored(gone)["flicker"] == pytest.approx(200 / 7)
    restless = truth(EDITED)
    for name, values in ATTRIBUTES.items():
        restless = reworded(restless, name, {i: values[i % 2] for i in range(FRAMES)})
    assert scored(restless)["flicker"] == 400


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_frozen_object_follows_nothing(motion: str) -> None:
    source, edited = (dataclasses.replace(scene, motion=motion) for scene in (SOURCE, EDITED))
    edit = truth(edited)
    frozen = moved(edit, np.repeat(edit.centers[:1], FRAMES, axis=0))
    scores = scored(frozen, source, edited)
    assert scores["motion_correlation"] == 0
    steps = np.diff(truth(source).centers, axis=0)
    assert scores["jitter"] == pytest.approx(math.sqrt((steps**2).sum(axis=1).mean()))
    # A reader's noise of a tenth of a pixel is no motion.
    noise = np.random.default_rng(0).normal(0, 0.1, (FRAMES, 2))
    assert scored(moved(edit, frozen.centers + noise), source, edited)["motion_correlation"] == 0


def test_a_still_source_cannot_be_followed() -> None:
    place = np.full((FRAMES, 2), 30.0)
    still = moved(truth(SOURCE), place)
    prompts = (SOURCE.caption(), EDITED.caption())
    scores = ground_truth(truth(EDITED), still, *prompts)
    assert scores["motion_correlation"] is None
    place = place + np.where(np.arange(FRAMES)[:, None] % 2, 1.01, -1.01) * STILL * [1, 0]
    assert ground_truth(truth(EDITED), moved(still, place), *prompts)["motion_correlation"] is not (
        None
    )
    absent = without_object(truth(SOURCE), list(range(1, FRAMES)))
    assert ground_truth(truth(EDITED), absent, *prompts)["motion_correlation"] is None


def test_an_object_that_vanishes_for_more_than_half_follows_nothing() -> None:
    half = scored(without_object(truth(EDITED), [4, 5, 6, 7]))
    assert (half["motion_correlation"], half["jitter"]) == (pytest.approx(1), 0)
    most = scored(without_object(truth(EDITED), [3, 4, 5, 6, 7]))
    assert (most["motion_correlation"], most["jitter"]) == (0, 0)


def test_jitter_is_in_pixels_from_frame_to_frame() -> None:
    edit = truth(EDITED)
    shake = np.zeros((FRAMES, 2))
    shake[::2] = [3, 4]  # five pixels there and back
    assert scored(moved(edit, edit.centers + shake))["jitter"] == pytest.approx(5)


offsets = st.tuples(st.floats(-20, 20), st.floats(-20, 20))


@given(scenes, offsets, st.floats(0.5, 3))
def test_the_same_motion_elsewhere_or_larger_is_the_same_motion(
    source: Scene, offset: tuple[float, float], factor: float
) -> None:
    edited = dataclasses.replace(source, color="red" if source.color != "red" else "blue")
    edit = truth(edited)
    there = scored(moved(edit, edit.centers + np.array(offset)), source, edited)
    assert there["jitter"] == pytest.approx(0, abs=1e-9)
    larger = scored(moved(edit, edit.centers * factor), source, edited)
    assert there["motion_correlation"] == pytest.approx(1)
    assert larger["motion_correlation"] == pytest.approx(1)
    mirrored = scored(moved(edit, -edit.centers), source, edited)
    assert mirrored["motion_correlation"] == pytest.approx(-1)


tracks = st.lists(offsets, min_size=FRAMES, max_size=FRAMES).map(np.array)


@given(scenes, tracks, st.sets(st.integers(0, FRAMES - 1)))
def test_scores_stay_in_range_and_time_has_no_direction(
    source: Scene, shake: Any, gone: set[int]
) -> None:
    edited = dataclasses.replace(source, shape="car" if source.shape != "car" else "boat")
    edit = without_object(moved(truth(edited), truth(edited).centers + shake), sorted(gone))
    scores = scored(edit, source, edited)
    assert 0 <= scores["edited_right"] <= 100
    assert 0 <= scores["unedited_kept"] <= 100
    assert -1 <= scores["motion_correlation"] <= 1
    assert 0 <= scores["flicker"] <= 400
    assert scores["jitter"] is None or scores["jitter"] >= 0
    backwards = ground_truth(
        reversed_reading(edit), reversed_reading(truth(source)), source.caption(), edited.caption()
    )
    for name, value in scores.items():
        assert backwards[name] == (None if value is None else pytest.approx(value, abs=1e-9))


def reversed_reading(reading: Reading) -> Reading:
    return Reading(
        attributes={name: values[::-1] for name, values in reading.attributes.items()},
        present=reading.present[::-1],
        centers=reading.centers[::-1],
    )


@pytest.mark.parametrize(
    ("prompts", "kind"),
    [
        (("a man is skiing", EDITED.caption()), "the source prompt 'a man is skiing'"),
        ((SOURCE.caption(), "a panda eats bamboo"), "the edited prompt 'a panda eats bamboo'"),
    ],
)
def test_prompts_of_another_world_are_refused(prompts: tuple[str, str], kind: str) -> None:
    with pytest.raises(EvalError, match=f"{kind} names nothing of the tiny world.*color: red"):
        ground_truth(truth(EDITED), truth(SOURCE), *prompts)


@pytest.mark.parametrize(("edit", "source"), [(4, 8), (1, 1)])
def test_clips_of_unequal_or_no_length_are_refused(edit: int, source: int) -> None:
    with pytest.raises(EvalError, match=rf"the edit has {edit} frame.*source {source}"):
        ground_truth(truth(EDITED, edit), truth(SOURCE, source), SOURCE.caption(), EDITED.caption())


def test_every_motion_is_told_from_most_others() -> None:
    sources = {motion: dataclasses.replace(SOURCE, motion=motion) for motion in MOTIONS}
    for one, other in itertools.combinations(MOTIONS, 2):
        scores = scored(truth(sources[one]), sources[other])
        assert scores["motion_correlation"] < 0.95, (one, other)
