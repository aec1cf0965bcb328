"""How often models are right: those that are always right, or never, or in part."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from typing_extensions import override

from tests.truth import changed, crossed, truth_of_stills, without
from tinyworld.draw import render_at, still_time, stills
from tinyworld.measures import (
    binding_accuracy,
    caption_accuracy,
    details_read,
    edit_accuracy,
    matched_to,
    retrieval_accuracy,
    visible_scenes,
    words_right,
)
from tinyworld.reader import Reader, Reading
from tinyworld.reader_net import ReaderNet
from tinyworld.scenes import COLORS, Scene, read_caption

COUNT = 8
SINGLES = visible_scenes(COUNT, seed=1, things=1)
PAIRS = visible_scenes(COUNT, seed=1, things=2)
BOTH = pytest.mark.parametrize("scenes", [SINGLES, PAIRS], ids=["one", "two"])
Vector = npt.NDArray[np.float64]


class Judge:
    """An encoder of captions, and of stills as what is heard of their own captions.

    Args:
        scenes: whose stills it knows.
        hear: what it makes of a sentence; equal things get equal embeddings.
    """

    def __init__(self, scenes: Sequence[Scene], hear: Callable[[str], Any]) -> None:
        self.hear = hear
        self.known = {
            picture.tobytes(): scene.caption(motion=False)
            for picture, scene in zip(stills(scenes), scenes, strict=True)
        }

    def text(self, caption: str) -> Vector:
        seed = abs(hash(repr(self.hear(caption)))) % 2**32
        found = np.random.default_rng(seed).normal(size=64)
        return np.asarray(found / np.linalg.norm(found))

    def frames(self, frames: npt.NDArray[np.uint8]) -> Vector:
        return np.stack([self.text(self.known[frame.tobytes()]) for frame in frames])


def knowing(caption: str) -> Any:
    return read_caption(caption)


def colour_blind(caption: str) -> Any:
    return read_caption(re.sub("|".join(COLORS), "red", caption))


def bag_of_words(caption: str) -> Any:
    """Hears colours and shapes and not which has which."""
    found = read_caption(caption)
    return sorted(c or "" for c, _ in found.things), sorted(s or "" for _, s in found.things)


def deaf(caption: str) -> Any:
    return 0


@BOTH
@pytest.mark.parametrize(("hear", "right"), [(knowing, 100), (deaf, 0)])
def test_retrieval_is_of_the_one_that_is_likeliest(
    scenes: list[Scene], hear: Callable[[str], Any], right: float
) -> None:
    judge = Judge(scenes, hear)
    assert retrieval_accuracy(judge.frames, judge.text, scenes) == right


def test_retrieval_is_harder_among_more() -> None:
    judge = Judge(PAIRS, lambda caption: read_caption(caption).background)
    few, many = (
        retrieval_accuracy(judge.frames, judge.text, PAIRS, among=among) for among in (2, 32)
    )
    assert few > many == 0, "another of 32 has the same background"


@BOTH
def test_each_attribute_s_edits_are_told_by_who_hears_it(scenes: list[Scene]) -> None:
    judge = Judge(scenes, knowing)
    names = {"color", "shape", "background", "style"}
    assert edit_accuracy(judge.frames, judge.text, scenes) == dict.fromkeys(names, 100.0)
    judge = Judge(scenes, colour_blind)
    assert edit_accuracy(judge.frames, judge.text, scenes) == {
        **dict.fromkeys(names, 100.0),
        "color": 0.0,
    }


def test_of_two_things_either_s_edit_must_be_told() -> None:
    judge = Judge(
        PAIRS,
        lambda caption: replace(read_caption(caption), things=read_caption(caption).things[:1]),
    )
    found = edit_accuracy(judge.frames, judge.text, PAIRS)
    assert (found["color"], found["shape"], found["style"]) == (0, 0, 100)


def test_binding_is_of_those_who_hear_which_has_which() -> None:
    found = []
    for hear in (knowing, bag_of_words, colour_blind):
        judge = Judge(PAIRS, hear)
        found.append(binding_accuracy(judge.frames, judge.text, PAIRS))
    assert found == [100, 0, 0]


def test_binding_s_captions_are_all_ways_to_give_the_two_colours() -> None:
    heard: list[str] = []

    def hear(caption: str) -> Any:
        heard.append(caption)
        return caption

    (scene,) = PAIRS[:1]
    judge = Judge([scene], hear)
    binding_accuracy(judge.frames, judge.text, [scene])
    first, second = scene.words.things
    told = {read_caption(caption).things for caption in heard}
    assert told == {
        ((one, first[1]), (other, second[1]))
        for one in (first[0], second[0])
        for other in (first[0], second[0])
    }


@BOTH
def test_captions_are_right_whatever_thing_they_name_first(scenes: list[Scene]) -> None:
    pictures = stills(scenes)

    def said(frames: Sequence[Any]) -> list[str]:
        assert np.array_equal(np.stack(frames), pictures)
        return [replace(s, things=s.things[::-1]).caption(motion=False) for s in scenes]

    names = ("things", "background", "style", "all words")
    assert caption_accuracy(said, scenes) == dict.fromkeys(names, 100)


def test_a_caption_s_faults_count_where_they_are() -> None:
    captions = [scene.caption(motion=False) for scene in PAIRS]
    scene = PAIRS[0]
    one, other = scene.things
    captions[0] = replace(  # who has which colour is confused
        scene, things=(replace(one, color=other.color), replace(other, color=one.color))
    ).caption()
    captions[1] = replace(PAIRS[1], things=PAIRS[1].things[:1]).caption(motion=False)
    background = "sea" if PAIRS[2].background != "sea" else "sand"
    captions[2] = replace(PAIRS[2], background=background).caption()
    found = caption_accuracy(lambda _: captions, PAIRS)
    assert found == {
        "things": pytest.approx(100 * (1 - 2 / COUNT)),
        "background": pytest.approx(100 * (1 - 1 / COUNT)),
        "style": 100,
        "all words": pytest.approx(100 * (1 - 3 / COUNT)),
    }


@BOTH
def test_a_perfect_reading_is_all_right(scenes: list[Scene]) -> None:
    names = ("color", "shape", "background", "style", "things")
    for frames in ([], [0, 3]):
        found = words_right(crossed(truth_of_stills(scenes), frames), scenes)
        assert found == dict.fromkeys(names, 100)


def test_a_reading_s_faults_count_where_they_are() -> None:
    reading = changed(truth_of_stills(PAIRS), "background", {0: "?"})
    reading = changed(reading, "color", {1: "?"}, thing=1)
    reading = without(reading, [2])
    assert words_right(reading, PAIRS) == {
        "color": pytest.approx(100 * (1 - 1 / COUNT)),
        "shape": 100,
        "background": pytest.approx(100 * (1 - 1 / COUNT)),
        "style": 100,
        "things": pytest.approx(100 * (1 - 2 / COUNT)),
    }
    # One more than there is counts as well.
    twice = changed(truth_of_stills(SINGLES), "present", {0: 1.0}, thing=1)
    assert words_right(twice, SINGLES)["things"] == pytest.approx(100 * (1 - 1 / COUNT))
    assert words_right(twice, SINGLES)["color"] == 100


def test_scenes_of_one_thing_and_of_two_are_measured_apart() -> None:
    with pytest.raises(ValueError, match="measured apart"):
        matched_to(truth_of_stills([SINGLES[0], PAIRS[0]]), [SINGLES[0], PAIRS[0]])


class AllKnowing(Reader):
    """Knows the stills of scenes, and of any other frame that there is nothing."""

    def __init__(self, scenes: Sequence[Scene], change: Callable[[Reading], Reading]) -> None:
        super().__init__(ReaderNet())
        pictures = [render_at(scene, still_time(scene)).frames[0].tobytes() for scene in scenes]
        reading = change(truth_of_stills(scenes))
        self.known = {p: reading.at(slice(k, k + 1)) for k, p in enumerate(pictures)}
        first = truth_of_stills(scenes[:1])
        self.nothing = without(without(first, [0]), [0], thing=1)

    @override
    def read(self, frames_FHWC: npt.NDArray[np.uint8]) -> Reading:
        return Reading.joined([self.known.get(f.tobytes(), self.nothing) for f in frames_FHWC])


NO_ERROR = {
    "pattern": 100,
    "rim": 100,
    "shade": 0,
    "size": 0,
    "tint": 0,
    "light": 0,
    "center": 0,
    "absent": 100,
}


@BOTH
def test_details_are_compared_with_those_that_were_drawn(scenes: list[Scene]) -> None:
    found = details_read(AllKnowing(scenes, lambda reading: reading), scenes)
    assert found == {name: pytest.approx(value) for name, value in NO_ERROR.items()}


def test_each_detail_s_error_is_its_own() -> None:
    def faulty(reading: Reading) -> Reading:
        reading = changed(reading, "pattern", {0: "?", 1: "?"})
        reading = changed(reading, "rim", {2: "?"}, thing=1)
        reading = changed(reading, "shade", {0: reading.shade[0, 0] - 0.6})
        reading = changed(reading, "size", {0: reading.size[0, 0] * 1.12})
        reading = changed(reading, "tint", {0: reading.tint[0] + 0.6})
        reading = changed(reading, "light", {1: reading.light[1] - 0.6})
        return changed(reading, "centers", {3: reading.centers[3, 0] + np.array([3, 4])})

    things = 2 * COUNT
    assert details_read(AllKnowing(PAIRS, faulty), PAIRS) == {
        "pattern": pytest.approx(100 * (1 - 2 / things)),
        "rim": pytest.approx(100 * (1 - 1 / things)),
        "shade": pytest.approx(0.6 / things),
        "size": pytest.approx(0.12 / things),
        "tint": pytest.approx(0.6 / COUNT),
        "light": pytest.approx(0.6 / COUNT),
        "center": pytest.approx(5 / things),
        "absent": 100,
    }


def test_a_thing_seen_in_an_empty_scene_is_told() -> None:
    reader = AllKnowing(PAIRS, lambda reading: reading)
    reader.nothing = changed(reader.nothing, "present", {0: 0.7}, thing=1)
    assert details_read(reader, PAIRS)["absent"] == 0


@pytest.mark.parametrize("things", [None, 1, 2])
def test_visible_scenes_show_at_least_half_of_each_thing(things: int | None) -> None:
    found = visible_scenes(12, seed=7, things=things)
    assert len(found) == 12
    assert all(scene.held_out for scene in found)
    assert {len(scene.things) for scene in found} == ({things} if things else {1, 2})
    for scene in found:
        assert render_at(scene, still_time(scene)).hidden.max() <= 0.5
    assert found == visible_scenes(12, seed=7, things=things)
    assert found != visible_scenes(12, seed=8, things=things)


def test_visible_scenes_may_be_of_combinations_that_training_saw() -> None:
    assert not any(s.held_out for s in visible_scenes(12, seed=7, held_out=False))
    assert len({s.held_out for s in visible_scenes(30, seed=7, held_out=None)}) == 2
