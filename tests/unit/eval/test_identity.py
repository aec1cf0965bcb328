"""Details that no word names are the source's, or lost by exactly as much as was changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.asked import Task, task
from eval.identity import identity_drift, identity_kept
from tests.drawn_scenes import edited_scenes, scenes
from tests.truth import FRAMES, changed, crossed, everywhere, truth, without
from tinyworld.details import PATTERNS, RIMS
from tinyworld.edits import replaced
from tinyworld.reader import Reading
from tinyworld.scenes import Scene, Thing, single

LONE = single(color="red", shape="fish", background="sea", seed=3)
PAIR = Scene(
    things=(
        Thing(color="red", shape="fish", motion="rising"),
        Thing(color="blue", shape="star", motion="moving left"),
    ),
    background="sea",
    seed=3,
)
BOTH = pytest.mark.parametrize("source", [LONE, PAIR], ids=["one", "two"])
DETAILS = {1: 6, 2: 10}
"""Of a frame: four of each thing, two of the background."""
STEPS = FRAMES - 1


def judged(edit: Reading, source: Scene, read: Reading | None = None) -> Task:
    edited = replaced(source, 0, "color", "green")
    reading = truth(source) if read is None else read
    return task(edit, reading, source.caption(), edited.caption())


def perfect(source: Scene) -> Reading:
    return truth(replaced(source, 0, "color", "green"))


def scores(edit: Reading, source: Scene, read: Reading | None = None) -> Any:
    """Kept and drift."""
    found = judged(edit, source, read)
    kept, drift = identity_kept(found), identity_drift(found)
    assert kept is not None
    assert drift is not None
    return kept, drift


def another(words: tuple[str, ...], word: str) -> str:
    return next(one for one in words if one != word)


@given(edited_scenes())
def test_the_same_seed_keeps_all_whatever_the_words(both: tuple[Scene, Scene]) -> None:
    source, edited = both
    found = task(truth(edited), truth(source), source.caption(), edited.caption())
    assert identity_kept(found) == pytest.approx(100)
    assert identity_drift(found) == pytest.approx(0)


@BOTH
@pytest.mark.parametrize(("name", "words"), [("pattern", PATTERNS), ("rim", RIMS)])
def test_another_pattern_or_rim_is_lost_whole(
    source: Scene, name: str, words: tuple[str, ...]
) -> None:
    other = another(words, getattr(perfect(source), name)[0, 0])
    of = DETAILS[len(source.things)]
    always = changed(perfect(source), name, everywhere(other))
    assert scores(always, source) == (pytest.approx(100 * (1 - 1 / of)), 0)
    from_four_on = changed(perfect(source), name, dict.fromkeys(range(4, FRAMES), other))
    assert scores(from_four_on, source) == (
        pytest.approx(100 * (1 - 4 / FRAMES / of)),
        pytest.approx(100 / STEPS / of),
    )
    one_frame = changed(perfect(source), name, {4: other})
    assert scores(one_frame, source)[1] == pytest.approx(2 * 100 / STEPS / of)


@BOTH
@pytest.mark.parametrize(
    ("name", "step"), [("shade", 0.5), ("tint", -0.5), ("light", 0.5)], ids=str
)
def test_what_is_measured_is_lost_by_its_distance(source: Scene, name: str, step: float) -> None:
    of, edit = DETAILS[len(source.things)], perfect(source)
    values = getattr(edit, name)
    own = values if values.ndim == 1 else values[:, 0]
    off = changed(edit, name, dict(enumerate(own + step)))
    assert scores(off, source) == (pytest.approx(100 * (1 - 0.5 / of)), pytest.approx(0))
    far = changed(edit, name, dict(enumerate(own + 5 * step)))
    assert scores(far, source)[0] == pytest.approx(100 * (1 - 1 / of)), "at most whole"
    jumps = changed(edit, name, dict(enumerate(own + step * (np.arange(FRAMES) >= 4))))
    assert scores(jumps, source)[1] == pytest.approx(100 * 0.5 / STEPS / of)


@BOTH
def test_a_size_counts_in_halves_of_the_source_s(source: Scene) -> None:
    of, edit = DETAILS[len(source.things)], perfect(source)
    own = edit.size[:, 0]
    for factor, lost in ((1.25, 0.5), (0.75, 0.5), (1.5, 1), (0.1, 1), (1.05, 0.1)):
        sized = changed(edit, "size", dict(enumerate(own * factor)))
        assert scores(sized, source) == (pytest.approx(100 * (1 - lost / of)), pytest.approx(0))
    grows = changed(edit, "size", {7: own[7] * 1.25})
    assert scores(grows, source)[1] == pytest.approx(100 * 0.5 / STEPS / of)


@pytest.mark.parametrize("zoom", ["zooming in", "zooming out"])
def test_a_size_that_follows_the_camera_is_kept(zoom: str) -> None:
    source = replace(PAIR, camera=zoom)
    assert scores(perfect(source), source) == (pytest.approx(100), pytest.approx(0))
    # An edit whose things do not grow with the camera loses as much as they should have grown.
    edit = perfect(source)
    still = changed(edit, "size", everywhere(edit.size[0, 0]))
    lost = np.minimum(np.abs(edit.size[0, 0] / edit.size[:, 0] - 1) / 0.5, 1).sum()
    assert scores(still, source)[0] == pytest.approx(100 * (1 - lost / FRAMES / 10))
    assert scores(still, source)[1] > 0


@BOTH
def test_a_thing_that_is_lost_keeps_nothing_and_drifts_not(source: Scene) -> None:
    of = DETAILS[len(source.things)]
    kept, drift = scores(without(perfect(source), [1, 2]), source)
    assert kept == pytest.approx(100 * (1 - 4 * 2 / FRAMES / of))
    assert drift == 0


def test_frames_without_the_source_s_thing_do_not_count() -> None:
    behind = [2, 3]
    source = without(truth(PAIR), behind)
    edit = changed(perfect(PAIR), "shade", dict.fromkeys(behind, -3.0))
    edit = changed(edit, "pattern", dict.fromkeys(behind, "?"))
    for reading in (edit, without(edit, behind), crossed(edit, [3])):
        assert scores(reading, PAIR, source) == (pytest.approx(100), pytest.approx(0))
    # Of what does count, one detail weighs more.
    wrong = changed(perfect(PAIR), "pattern", everywhere("?"))
    whole = 4 * (FRAMES - 2) + 4 * FRAMES + 2 * FRAMES
    assert scores(wrong, PAIR, source)[0] == pytest.approx(100 * (1 - (FRAMES - 2) / whole))


def test_what_changes_in_the_source_may_change_in_the_edit() -> None:
    misread = {4: "?"}
    source = changed(truth(PAIR), "pattern", misread)
    assert scores(changed(perfect(PAIR), "pattern", misread), PAIR, source) == (100, 0)
    steady = scores(perfect(PAIR), PAIR, source)
    assert steady == (pytest.approx(100 * (1 - 1 / FRAMES / 10)), 0)


def test_another_seed_is_another_identity() -> None:
    other = replace(PAIR, seed=9)
    kept, drift = scores(perfect(other), PAIR)
    assert kept < 80
    assert drift == pytest.approx(0, abs=1)


def test_there_is_no_identity_without_a_thing_and_no_drift_without_a_pair() -> None:
    nothing = without(truth(LONE), range(FRAMES))
    found = judged(perfect(LONE), LONE, nothing)
    assert (identity_kept(found), identity_drift(found)) == (None, None)
    every_other = without(truth(LONE), range(0, FRAMES, 2))
    found = judged(perfect(LONE), LONE, every_other)
    assert identity_kept(found) == pytest.approx(100)
    assert identity_drift(found) is None


@given(scenes(), scenes(), st.sets(st.integers(0, STEPS)), st.sets(st.integers(0, STEPS)))
def test_both_stay_in_range_and_time_has_no_direction(
    source: Scene, other: Scene, lost: set[int], unseen: set[int]
) -> None:
    edit = without(truth(other), sorted(lost))
    read = without(truth(source), sorted(unseen))
    prompts = source.caption(), source.caption()
    there, back = (
        task(one.at(turn), two.at(turn), *prompts)
        for one, two, turn in ((edit, read, slice(None)), (edit, read, slice(None, None, -1)))
    )
    for measure in (identity_kept, identity_drift):
        value = measure(there)
        assert value is None or 0 <= value <= 100
        assert measure(back) == (None if value is None else pytest.approx(value))
