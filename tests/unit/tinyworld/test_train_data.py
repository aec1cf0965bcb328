"""The stills: drawn once, with the truth about each, and captions of what each shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.drawn_scenes import scenes
from tinyworld.details import PATTERNS, RIMS, looks, place
from tinyworld.draw import render_at
from tinyworld.reader_net import FRAME_CLASSES, THING_CLASSES
from tinyworld.scenes import MOTIONS, Scene, random_scene, read_caption
from tinyworld.train import data
from tinyworld.train.data import NO_THING, Stills, said, stills

COUNT = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stills")


@pytest.fixture(scope="module")
def drawn(folder: Path) -> Stills:
    return stills(folder, COUNT, seed=3)


def shown() -> list[tuple[Scene, float]]:
    """The scenes of the first stills and when they were drawn."""
    rng, found = np.random.default_rng([3, 0]), []
    for _ in range(COUNT):
        scene, time = random_scene(rng), rng.uniform()
        while render_at(scene, np.array([time])).hidden.max() > 0.5:
            scene, time = random_scene(rng, things=len(scene.things)), rng.uniform()
        found.append((scene, time))
    return found


def test_stills_hold_their_scenes_words_and_details(drawn: Stills) -> None:
    assert len(drawn) == COUNT
    for index, (scene, time) in enumerate(shown()):
        assert not scene.held_out
        clip = render_at(scene, np.array([time]))
        assert np.array_equal(drawn.pixels[index], clip.frames[0])
        assert drawn.scene(index).words == scene.words
        assert [t.motion for t in drawn.scene(index).things] == [t.motion for t in scene.things]
        for k, (thing, look) in enumerate(zip(scene.things, looks(scene), strict=True)):
            *classes, motion = drawn.things[index, k].tolist()
            words = [words[c] for words, c in zip(THING_CLASSES.values(), classes, strict=True)]
            assert words == [thing.color, thing.shape, look.pattern, look.rim]
            assert MOTIONS[motion] == thing.motion
            expected = [look.shade, clip.sizes[0, k], *clip.centers[0, k]]
            assert drawn.looks[index, k].tolist() == pytest.approx(expected)
        if len(scene.things) == 1:
            assert set(drawn.things[index, 1]) == {NO_THING}
        classes = drawn.frames[index].tolist()
        words = [words[c] for words, c in zip(FRAME_CLASSES.values(), classes, strict=True)]
        assert words == [scene.background, scene.style]
        ground = place(scene)
        assert drawn.places[index].tolist() == [ground.tint, ground.light]


def test_they_are_of_one_thing_and_of_two_of_every_detail(drawn: Stills) -> None:
    two = drawn.things[:, 1, 0] != NO_THING
    assert 10 < two.sum() < 30
    there = drawn.things[drawn.things[..., 0] != NO_THING]
    assert set(there[:, 2]) == set(range(len(PATTERNS)))
    assert set(there[:, 3]) == set(range(len(RIMS)))


def test_they_are_drawn_once(folder: Path, drawn: Stills, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "ProcessPoolExecutor", None)  # nothing is left to be drawn
    again = stills(folder, COUNT, seed=3)
    assert np.array_equal(again.pixels, drawn.pixels)
    assert np.array_equal(again.looks, drawn.looks)


def test_stills_that_were_not_finished_are_drawn_anew(tmp_path: Path) -> None:
    first = stills(tmp_path, 4, seed=3)
    (made,) = tmp_path.iterdir()
    pixels = first.pixels.copy()
    (made / "done.json").unlink()
    (made / "pixels.npy").write_bytes(b"half")
    assert np.array_equal(stills(tmp_path, 4, seed=3).pixels, pixels)
    assert not np.array_equal(stills(tmp_path, 4, seed=4).pixels, pixels)


def test_chunks_draw_for_themselves() -> None:
    one, other = (data._chunk(index, 3, seed=3) for index in (0, 1))
    assert not np.array_equal(one.pixels, other.pixels)
    assert np.array_equal(one.pixels, data._chunk(0, 5, seed=3).pixels[:3])


def test_a_caption_names_the_thing_further_left_first(drawn: Stills) -> None:
    for index in range(COUNT):
        scene, found = drawn.scene(index), read_caption(drawn.caption(index))
        assert set(found.things) == set(scene.words.things)
        assert (found.background, found.style) == (scene.background, scene.style)
        x = dict(zip(scene.words.things, drawn.looks[index, :, 2], strict=False))
        places = [x[thing] for thing in found.things]
        assert places == sorted(places)
        assert not any(motion in drawn.caption(index) for motion in MOTIONS)


@given(scenes(), st.integers(0, 999))
def test_what_is_said_of_a_scene_is_so(scene: Scene, seed: int) -> None:
    rng = np.random.default_rng(seed)
    told = {said(scene, rng) for _ in range(40)}
    turned = replace(scene, things=scene.things[::-1])
    assert told == {
        one.caption(motion=motion) for one in (scene, turned) for motion in (False, True)
    }
