"""Drawn frames show what their scene says, and the truth about them is the truth."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.drawn_scenes import scenes
from tinyworld.backdrops import draw_background
from tinyworld.details import front, looks, place
from tinyworld.draw import render, render_at, still_time, stills
from tinyworld.edits import others, replaced
from tinyworld.paths import camera, tracks
from tinyworld.scenes import (
    ATTRIBUTES,
    CAMERAS,
    FRAMES,
    OF_A_THING,
    SHAPES,
    SIZE,
    STYLES,
    Attribute,
    Scene,
    Thing,
    random_scene,
    single,
)
from tinyworld.things import draw_thing

PAIR = Scene(
    things=(Thing(color="red", shape="fish"), Thing(color="blue", shape="house")),
    background="grass",
    seed=5,
)
MOMENTS = np.array([0.1, 0.8])
FEW = settings(max_examples=15)  # drawing takes milliseconds


def overlapping(rng: np.random.Generator) -> Scene:
    """A pair of which one hides the other in a frame of eight."""
    while True:
        scene = random_scene(rng, held_out=None, things=2)
        if render(scene, 8).hidden.max() > 0.3:
            return scene


def test_a_clip_s_arrays_are_as_told() -> None:
    clip = render(PAIR)
    assert clip.frames.shape == (FRAMES, SIZE, SIZE, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.masks.shape == clip.whole.shape == (FRAMES, 2, SIZE, SIZE)
    assert clip.centers.shape == (FRAMES, 2, 2)
    assert clip.sizes.shape == clip.hidden.shape == (FRAMES, 2)
    assert clip.camera.shape == (FRAMES, 3)
    assert render(PAIR, 5).frames.shape[0] == 5


@FEW
@given(scenes())
def test_the_truth_is_that_of_paths_and_details(shown: Scene) -> None:
    clip = render_at(shown, MOMENTS)
    assert np.array_equal(clip.centers, tracks(shown, MOMENTS))
    assert np.array_equal(clip.camera, camera(shown, MOMENTS))
    assert clip.front == front(shown)
    sizes = [[look.size * zoom for look in looks(shown)] for zoom in clip.camera[:, 2]]
    assert np.allclose(clip.sizes, sizes)


@FEW
@given(scenes())
def test_a_frame_does_not_depend_on_the_others(shown: Scene) -> None:
    both = render_at(shown, MOMENTS)
    for index, time in enumerate(MOMENTS):
        alone = render_at(shown, np.array([time]))
        assert np.array_equal(alone.frames[0], both.frames[index])
        assert np.array_equal(alone.masks[0], both.masks[index])
        assert np.array_equal(alone.centers[0], both.centers[index])


@FEW
@given(scenes())
def test_equal_scenes_are_equal_to_the_pixel_and_seeds_matter(shown: Scene) -> None:
    one, same, other = (
        render_at(scene, MOMENTS)
        for scene in (shown, replace(shown), replace(shown, seed=shown.seed + 1))
    )
    assert np.array_equal(one.frames, same.frames)
    assert np.array_equal(one.masks, same.masks)
    assert not np.array_equal(one.frames, other.frames)


@FEW
@given(scenes())
def test_what_is_seen_is_part_of_what_is_there(shown: Scene) -> None:
    clip = render_at(shown, MOMENTS)
    assert clip.whole.any(axis=(2, 3)).all()
    assert not (clip.masks & ~clip.whole).any()
    assert clip.masks.sum(axis=1).max() <= 1, "two things seen in one place"
    assert np.array_equal(clip.masks.any(axis=1), clip.whole.any(axis=1))
    assert clip.hidden.min() >= 0
    assert clip.hidden.max() <= 1
    assert (clip.hidden[:, clip.front] == 0).all()
    assert np.array_equal(clip.masks[:, clip.front], clip.whole[:, clip.front])
    for frame, thing in itertools.product(*map(range, clip.hidden.shape)):
        seen, there = (part[frame, thing].sum() for part in (clip.masks, clip.whole))
        assert clip.hidden[frame, thing] == pytest.approx(1 - seen / there)


def test_things_do_hide_each_other() -> None:
    hidden = [render(overlapping(np.random.default_rng(k)), 8) for k in range(5)]
    assert {clip.front for clip in hidden} == {0, 1}
    for clip in hidden:
        behind = 1 - clip.front
        assert 0.3 < clip.hidden[:, behind].max() <= 1
        assert np.array_equal(clip.near == 255, clip.masks[:, clip.front])
        assert np.array_equal(clip.near == 128, clip.masks[:, behind])
        assert np.array_equal(clip.near == 0, ~clip.masks.any(axis=1))
        # Where the two meet, the front one's colours are seen.
        both = clip.whole.all(axis=1)
        assert np.array_equal(clip.masks[:, clip.front] & both, both)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("seed", [1, 5, 6])
def test_the_mask_is_where_the_thing_is(shape: str, style: str, seed: int) -> None:
    shown = single(color="red", shape=shape, background="snow", style=style, seed=seed)
    first, second = (render_at(replaced(shown, 0, "color", c), MOMENTS) for c in ("green", "blue"))
    assert np.array_equal(first.masks, second.masks)
    mask = first.masks[:, 0]
    differs = np.abs(first.frames.astype(int) - second.frames).max(axis=-1) > 0
    if style == "mosaic":  # a tile holds its neighbourhood's mean
        differs[~mask] = False
    assert (differs & ~mask).mean() < 0.03, "colour outside of the mask"
    assert differs[mask].mean() > 0.4, "no colour inside of the mask"
    for centre, frame in zip(first.centers[:, 0], mask, strict=True):
        rows, columns = np.nonzero(frame)
        assert np.hypot(*(centre - (columns.mean(), rows.mean()))) < 6


@FEW
@given(scenes(things=2), st.integers(0, 1), st.data())
def test_another_word_of_one_thing_leaves_the_rest_alone(
    shown: Scene, index: int, data: st.DataObject
) -> None:
    assume(shown.style != "mosaic")
    name: Attribute = data.draw(st.sampled_from(OF_A_THING))
    edited = replaced(shown, index, name, data.draw(st.sampled_from(others(shown, name))))
    before, after = render_at(shown, MOMENTS), render_at(edited, MOMENTS)
    assert np.array_equal(before.whole[:, 1 - index], after.whole[:, 1 - index])
    differs = (before.frames != after.frames).any(axis=-1)
    around = np.maximum(coverage(shown, index), coverage(edited, index)) > 0
    assert not (differs & ~around).any()
    if index != before.front:  # what is wholly in front is as it was
        assert not (differs & (coverage(shown, before.front) == 1)).any()


def coverage(scene: Scene, index: int) -> npt.NDArray[np.float64]:
    """How far a thing covers each pixel, (F, 64, 64) in 0 to 1."""
    thing, look = scene.things[index], looks(scene)[index]
    zooms = camera(scene, MOMENTS)[:, 2].tolist()
    found = []
    for (x, y), zoom in zip(tracks(scene, MOMENTS)[:, index].tolist(), zooms, strict=True):
        _, alpha = draw_thing(thing, look, scene.style, x, y, zoom)
        found.append(alpha)
    return np.stack(found)


@FEW
@given(scenes())
def test_a_backdrop_is_the_scene_without_its_things(shown: Scene) -> None:
    full, empty = (render_at(shown, MOMENTS, empty=e) for e in (False, True))
    assert not empty.masks.any()
    assert not empty.whole.any()
    changed = (full.frames != empty.frames).any(axis=-1)
    there = full.masks.any(axis=1)
    assert changed[there].mean() > 0.8
    if shown.style != "mosaic":
        assert changed[~there].mean() < 0.1


@FEW
@given(scenes())
def test_the_backdrop_is_what_the_camera_is_said_to_see(shown: Scene) -> None:
    assume(shown.style != "mosaic")
    clip = render_at(shown, MOMENTS, empty=True)
    for frame, seen_by in zip(clip.frames, clip.camera, strict=True):
        expected = draw_background(shown.background, shown.style, place(shown), seen_by)
        assert np.abs(frame - np.clip(expected, 0, 255)).max() <= 0.5 + 1e-6


@pytest.mark.parametrize(("name", "sign"), [("panning right", 1), ("panning left", -1)])
@pytest.mark.parametrize("background", ["sea", "road", "grass"])
def test_a_panning_camera_moves_the_background_by_the_told_pixels(
    name: str, sign: int, background: str
) -> None:
    shown = single(color="red", shape="fish", background=background, camera=name, seed=2)
    clip = render_at(shown, np.array([0.25, 0.25 + 6 / (0.3 * SIZE)]), empty=True)
    told = clip.camera[1, 0] - clip.camera[0, 0]
    assert told == pytest.approx(6 * sign)
    before, after = clip.frames.astype(float)

    def off(shift: int) -> float:
        """How far the second frame is from the first, whose content went left by so much."""
        inner = slice(12, SIZE - 12)
        return float(np.abs(after[:, inner] - np.roll(before, -shift, axis=1)[:, inner]).mean())

    errors = {shift: off(shift) for shift in range(-12, 13)}
    assert min(errors, key=errors.__getitem__) == 6 * sign
    # What is left is the light, which falls on the frame and not on the ground.
    assert errors[6 * sign] < 0.1 * np.median(list(errors.values())) + 4


def test_a_still_camera_leaves_the_background_where_it_is_and_others_do_not() -> None:
    for name in CAMERAS:
        shown = single(color="red", shape="fish", background="sea", camera=name, seed=2)
        first, last = render(replace(shown), 2).frames[:, :8].astype(int)
        empty = render_at(shown, np.array([0.0, 1.0]), empty=True).frames.astype(int)
        assert (np.abs(empty[0] - empty[1]).mean() > 3) == (name != "still")
        assert (np.abs(first - last).mean() > 1) == (name != "still")


@pytest.mark.parametrize("name", ATTRIBUTES)
@pytest.mark.parametrize("seed", [0, 5])
def test_every_word_looks_different(name: Attribute, seed: int) -> None:
    shown = single(color="red", shape="fish", background="sea", seed=seed)
    scenes = [shown, *(replaced(shown, 0, name, word) for word in others(shown, name))]
    assert len(scenes) == len(ATTRIBUTES[name])
    pictures = [render_at(scene, MOMENTS).frames for scene in scenes]
    for first, second in itertools.combinations(pictures, 2):
        assert np.abs(first.astype(int) - second).mean() > 1


def test_a_mosaic_is_of_even_tiles_with_joints() -> None:
    shown = replace(PAIR, style="mosaic")
    (frame,) = render_at(shown, MOMENTS[:1]).frames
    tiles = frame.reshape(SIZE // 4, 4, SIZE // 4, 4, 3)[:, :3, :, :3]
    assert (tiles == tiles[:, :1, :, :1]).all()
    assert (frame[3::4] <= frame[2::4]).all()
    assert frame[3::4].mean() < 0.9 * frame[2::4].mean()


def test_a_still_is_one_frame_at_a_time_of_its_own() -> None:
    scenes = [random_scene(np.random.default_rng(k)) for k in range(20)]
    pictures = stills(scenes)
    assert pictures.shape == (20, SIZE, SIZE, 3)
    moments = np.concatenate([still_time(scene) for scene in scenes])
    assert len(set(moments)) == 20
    assert 0 <= moments.min() < 0.3
    assert 0.7 < moments.max() <= 1
    for scene, picture in zip(scenes, pictures, strict=True):
        assert np.array_equal(render_at(scene, still_time(scene)).frames[0], picture)
