"""Scenes say what they show, and only what is of this world."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.drawn_scenes import scenes
from tinyworld.scenes import (
    CAMERAS,
    COLORS,
    MOTIONS,
    WORDS,
    Scene,
    Thing,
    Words,
    random_scene,
    read_caption,
    single,
)

FISH = Thing(color="red", shape="fish")
STAR = Thing(color="blue", shape="star")


@given(scenes(), st.booleans())
def test_a_caption_is_read_back(shown: Scene, motion: bool) -> None:  # noqa: FBT001
    caption = shown.caption(motion=motion)
    assert read_caption(caption) == shown.words
    assert set(caption.replace(",", "").split()) <= set(WORDS)


@given(scenes(things=2), st.booleans())
def test_either_of_two_things_may_be_named_first(shown: Scene, motion: bool) -> None:  # noqa: FBT001
    turned = replace(shown, things=shown.things[::-1])
    assert turned.caption(motion=motion) != shown.caption(motion=motion)
    found = read_caption(turned.caption(motion=motion))
    assert found.things == shown.words.things[::-1]
    assert replace(found, things=shown.words.things) == shown.words


@given(scenes())
def test_the_motion_of_a_lone_thing_is_said_and_of_two_none(shown: Scene) -> None:
    told = [motion for motion in MOTIONS if motion in shown.caption()]
    assert told == ([shown.things[0].motion] if len(shown.things) == 1 else [])
    assert not any(motion in shown.caption(motion=False) for motion in MOTIONS)


@given(scenes(), st.sampled_from(CAMERAS), st.integers(0, 99))
def test_camera_and_seed_are_in_no_caption(shown: Scene, camera: str, seed: int) -> None:
    other = replace(shown, camera=camera, seed=seed)
    assert (other.caption(), other.words, other.held_out) == (
        shown.caption(),
        shown.words,
        shown.held_out,
    )


def test_a_caption_is_a_sentence() -> None:
    lone = single(
        color="red", shape="fish", background="sea", motion="bouncing", style="cartoon", seed=1
    )
    assert lone.caption() == "a red fish is bouncing over the sea, cartoon style"
    orange = Thing(color="orange", shape="ball")
    pair = Scene(things=(orange, STAR), background="snow")
    assert pair.caption() == "an orange ball and a blue star over the snow"
    assert pair.caption() == pair.caption(motion=False)


@pytest.mark.parametrize(
    ("text", "things"),
    [
        ("a fish and a BLUE star", ((None, "fish"), ("blue", "star"))),
        ("a red and blue star", (("blue", "star"),)),
        ("something red", (("red", None),)),
        ("a red fish that is blue", (("red", "fish"), ("blue", None))),
        ("a red fish, a blue star and a green car", (("red", "fish"), ("blue", "star"))),
        ("redfish", ()),
    ],
)
def test_what_is_read_of_other_sentences(
    text: str, things: tuple[tuple[str | None, str | None], ...]
) -> None:
    assert read_caption(text).things == things


def test_a_prompt_of_another_world_names_nothing() -> None:
    found = read_caption("A panda, skiing!")
    assert found == Words(things=(), background=None, style="plain")
    assert not found
    for words in ("a fish", "green", "on the road", "sketch"):
        assert read_caption(words), words


@pytest.mark.parametrize("count", [None, 1, 2])
def test_a_tenth_of_the_combinations_is_held_out(count: int | None) -> None:
    rng = np.random.default_rng(0)
    drawn = [random_scene(rng, held_out=None, things=count) for _ in range(2000)]
    share = np.mean([scene.held_out for scene in drawn])
    assert 0.08 < share / (count or 1.5) < 0.13
    assert all(random_scene(rng, held_out=True, things=count).held_out for _ in range(20))
    assert not any(random_scene(rng, things=count).held_out for _ in range(200))


@given(scenes(things=2))
def test_two_are_held_out_if_either_is(shown: Scene) -> None:
    alone = [replace(shown, things=(thing,)) for thing in shown.things]
    assert shown.held_out == any(scene.held_out for scene in alone)


def test_scenes_by_chance_have_every_word_and_follow_their_generator() -> None:
    one, same, other = (
        [random_scene(np.random.default_rng([seed, k]), held_out=None) for k in range(300)]
        for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other
    assert {scene.camera for scene in one} == set(CAMERAS)
    assert {thing.motion for scene in one for thing in scene.things} == set(MOTIONS)
    assert {thing.color for scene in one for thing in scene.things} == set(COLORS)
    both = sum(len(scene.things) == 2 for scene in one)
    assert 110 < both < 190


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"shape": "panda"}, "shape='panda' is not in the world: it has fish, car"),
        ({"color": "black"}, "color='black' .* red, orange"),
        ({"background": "moon"}, "background='moon' .* sea"),
        ({"style": "oil"}, "style='oil' .* plain"),
        ({"motion": "running"}, "motion='running' .* moving right"),
        ({"camera": "rolling"}, "camera='rolling' .* still"),
    ],
)
def test_a_word_of_another_world_is_refused(words: dict[str, str], message: str) -> None:
    fine = {"color": "red", "shape": "fish", "background": "sea"}
    with pytest.raises(ValueError, match=message):
        single(**{**fine, **words})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("things", "message"),
    [
        ((), "1 or 2 things, but 0 given"),
        ((FISH, STAR, Thing(color="pink", shape="car")), "1 or 2 things, but 3 given"),
        ((FISH, replace(STAR, color="red")), r"two things of one color \(red\)"),
        ((FISH, replace(STAR, shape="fish")), r"two things of one shape \(fish\)"),
    ],
)
def test_things_that_no_caption_could_tell_apart_are_refused(
    things: tuple[Thing, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Scene(things=things, background="sea")
