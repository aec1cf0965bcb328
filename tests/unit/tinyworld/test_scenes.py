"""Scenes say what they show, and show what they say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyworld.draw import render, render_at
from tinyworld.scenes import (
    ATTRIBUTES,
    BACKGROUNDS,
    COLORS,
    MOTIONS,
    SHAPES,
    SIZE,
    STYLES,
    WORDS,
    Scene,
    random_scene,
    read_caption,
)

SCENES = st.builds(
    Scene,
    color=st.sampled_from(tuple(COLORS)),
    shape=st.sampled_from(SHAPES),
    background=st.sampled_from(BACKGROUNDS),
    style=st.sampled_from(STYLES),
    motion=st.sampled_from(MOTIONS),
    seed=st.integers(0, 2**31),
)


def scene(**words: str) -> Scene:
    return Scene(**{"color": "red", "shape": "fish", "background": "sea", **words})  # type: ignore[arg-type]


@given(SCENES, st.booleans())
def test_a_caption_is_read_back(shown: Scene, motion: bool) -> None:  # noqa: FBT001
    caption = shown.caption(motion=motion)
    assert read_caption(caption) == shown.attributes
    assert set(caption.replace(",", "").split()) <= set(WORDS)


def test_a_caption_is_a_sentence() -> None:
    assert scene(motion="bouncing", style="cartoon").caption() == (
        "a red fish is bouncing over the sea, cartoon style"
    )
    assert scene(color="orange").caption(motion=False) == "an orange fish over the sea"


def test_a_prompt_of_another_world_names_nothing() -> None:
    assert read_caption("A panda, skiing!") == {
        "color": None,
        "shape": None,
        "background": None,
        "style": "plain",
    }


@given(SCENES)
def test_the_object_stays_in_the_frame(shown: Scene) -> None:
    track = shown.track(np.linspace(0, 1, 24))
    assert track.shape == (24, 2)
    assert track.min() >= shown.scale()
    assert track.max() <= SIZE - shown.scale()


@given(SCENES)
def test_a_frame_does_not_depend_on_the_others(shown: Scene) -> None:
    times = np.array([0.2, 0.7])
    both = render_at(shown, times)
    for index, time in enumerate(times):
        alone = render_at(shown, np.array([time]))
        assert np.array_equal(alone.frames[0], both.frames[index])
        assert np.array_equal(alone.centers[0], both.centers[index])


@pytest.mark.parametrize(
    ("motion", "right", "down"),
    [
        ("moving right", 1, 0),
        ("moving left", -1, 0),
        ("rising", 0, -1),
        ("sinking", 0, 1),
        ("bouncing", 1, None),
        ("circling", None, None),
    ],
)
def test_it_moves_as_it_says(motion: str, right: int | None, down: int | None) -> None:
    moved = render(scene(motion=motion), 9).centers
    for axis, direction in ((0, right), (1, down)):
        if direction is not None:
            assert set(np.sign(np.diff(moved[:, axis]).round(6))) == {direction}
    if motion == "bouncing":
        assert len(set(np.sign(np.diff(moved[:, 1])))) == 2, "up and down"
    if motion == "circling":
        reach = np.hypot(*(moved - (moved.max(axis=0) + moved.min(axis=0)) / 2).T)
        assert reach.min() > 0.85 * reach.max()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("style", STYLES)
def test_the_mask_is_where_the_object_is(shape: str, style: str) -> None:
    times = np.array([0.5])
    first, second = (
        render_at(scene(shape=shape, style=style, color=color, motion="rising"), times)
        for color in ("red", "blue")
    )
    assert np.array_equal(first.masks, second.masks)
    differs = np.abs(first.frames.astype(int) - second.frames).max(axis=-1) > 0
    if style == "mosaic":  # a tile holds its neighbourhood's mean
        differs[~first.masks] = False
    assert (differs & ~first.masks).mean() < 0.03, "colour outside of the mask"
    assert differs[first.masks].mean() > 0.4, "no colour inside of the mask"
    rows, columns = np.nonzero(first.masks[0])
    assert np.hypot(*(first.centers[0] - (columns.mean(), rows.mean()))) < 4


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_every_word_looks_different(name: str) -> None:
    times = np.array([0.5])
    pictures = [render_at(scene(**{name: word}), times).frames for word in ATTRIBUTES[name]]  # type: ignore[index]
    for first, second in itertools.combinations(pictures, 2):
        assert np.abs(first.astype(int) - second).mean() > 1


def test_equal_scenes_are_equal_and_seeds_matter() -> None:
    one, same, other = (
        render(Scene(color="red", shape="car", background="road", seed=s), 4) for s in (1, 1, 2)
    )
    assert np.array_equal(one.frames, same.frames)
    assert not np.array_equal(one.frames, other.frames)


def test_a_tenth_of_the_combinations_is_held_out() -> None:
    rng = np.random.default_rng(0)
    share = np.mean([random_scene(rng, held_out=None).held_out for _ in range(2000)])
    assert 0.08 < share < 0.15
    assert all(random_scene(rng, held_out=True).held_out for _ in range(20))
    assert not any(random_scene(rng).held_out for _ in range(200))


def test_a_word_of_another_world_is_refused() -> None:
    with pytest.raises(ValueError, match="shape='panda' is not in the world: it has fish, car"):
        scene(shape="panda")
