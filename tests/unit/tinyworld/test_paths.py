"""How things and the camera move: as the words say, and never out of the frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.drawn_scenes import edits, scenes
from tinyworld.details import looks
from tinyworld.paths import camera, tracks
from tinyworld.scenes import CAMERAS, SIZE, Scene, single

TIMES = np.linspace(0, 1, 25)


def moving(motion: str = "moving right", camera: str = "still", seed: int = 0) -> Scene:
    return single(
        color="red", shape="fish", background="sea", motion=motion, camera=camera, seed=seed
    )


@given(scenes())
def test_things_stay_in_the_frame_whatever_the_camera_does(shown: Scene) -> None:
    track = tracks(shown, TIMES)
    assert track.shape == (25, len(shown.things), 2)
    reach = np.array([look.size for look in looks(shown)]) * camera(shown, TIMES)[:, 2:]
    assert (track - reach[..., None]).min() >= 0
    assert (track + reach[..., None]).max() <= SIZE - 1


@given(scenes(), st.data())
def test_no_edit_changes_where_things_are(shown: Scene, data: st.DataObject) -> None:
    edited = data.draw(edits(shown))
    assert np.array_equal(tracks(edited, TIMES), tracks(shown, TIMES))


@given(scenes(), st.sampled_from(["panning right", "panning left"]))
def test_a_panning_camera_goes_with_the_things(shown: Scene, panning: str) -> None:
    still, moved = (tracks(replace(shown, camera=c), TIMES) for c in ("still", panning))
    assert np.array_equal(still, moved)


@given(scenes(), st.sampled_from(["zooming in", "zooming out"]))
def test_a_zooming_camera_shows_the_same_motion_in_less_room(shown: Scene, zooming: str) -> None:
    zoom, middle = replace(shown, camera=zooming), (SIZE - 1) / 2
    path = (tracks(zoom, TIMES) - middle) / camera(zoom, TIMES)[:, None, 2:]
    still = tracks(replace(shown, camera="still"), TIMES) - middle
    room, less = np.ptp(still, axis=0), np.ptp(path, axis=0)
    assert (less <= room + 1e-9).all()
    assert np.allclose((path - path[:1]) * room, (still - still[:1]) * less)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("still", ["still", "panning left"])
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
def test_it_moves_as_it_says(
    motion: str, right: int | None, down: int | None, still: str, seed: int
) -> None:
    moved = tracks(moving(motion, still, seed), TIMES)[:, 0]
    for axis, direction in ((0, right), (1, down)):
        if direction is not None:
            assert set(np.sign(np.diff(moved[:, axis]).round(6))) == {direction}
    if motion == "bouncing":
        assert len(set(np.sign(np.diff(moved[:, 1])))) == 2, "up and down"
    if motion == "circling":
        reach = np.hypot(*(moved - (moved.max(axis=0) + moved.min(axis=0)) / 2).T)
        assert reach.min() > 0.9 * reach.max()
        assert np.allclose(moved[0], moved[-1])


@pytest.mark.parametrize(
    ("name", "right", "zoom"),
    [
        ("still", 0, 0),
        ("panning right", 1, 0),
        ("panning left", -1, 0),
        ("zooming in", 0, 1),
        ("zooming out", 0, -1),
    ],
)
def test_the_camera_does_as_it_says(name: str, right: int, zoom: int) -> None:
    assert name in CAMERAS
    seen = camera(moving(camera=name), TIMES)
    for values, direction in zip(seen.T, (right, 0, zoom), strict=True):
        assert set(np.sign(np.diff(values))) == {direction}
    assert seen[:, 2].min() == 1
    assert np.ptp(seen[:, 0]) == pytest.approx(0.3 * SIZE * abs(right))
    assert np.ptp(seen[:, 2]) == pytest.approx(0.35 * abs(zoom))


@given(scenes(things=2))
def test_two_things_have_paths_of_their_own(shown: Scene) -> None:
    alike = replace(shown, things=tuple(replace(t, motion="rising") for t in shown.things))
    one, other = tracks(alike, TIMES).transpose(1, 0, 2)
    assert not np.allclose(one, other)
    turned = tracks(replace(alike, seed=alike.seed + 1), TIMES)
    assert not np.allclose(turned[:, 0], one)


def test_a_moment_does_not_depend_on_the_others() -> None:
    for name in CAMERAS:
        scene = moving("circling", name, 4)
        assert np.array_equal(tracks(scene, TIMES)[7:8], tracks(scene, TIMES[7:8]))
        assert np.array_equal(camera(scene, TIMES)[7:8], camera(scene, TIMES[7:8]))
