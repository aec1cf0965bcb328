"""Motion fidelity from its definition, its laws, and still points."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.errors import EvalError
from eval.motion import motion_fidelity, motion_fidelity_dmt, similarity

Floats = npt.NDArray[np.float64]


def random_tracks(count: int, frames: int = 5, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(0, 4, (count, frames, 2)).cumsum(axis=1)


def direction(track: Floats, t: int) -> tuple[float, float] | None:
    x, y = (float(track[t + 1, c]) - float(track[t, c]) for c in (0, 1))
    length = math.hypot(x, y)
    return (x / length, y / length) if length else None


def alike(one: Floats, other: Floats) -> float:
    found = []
    for t in range(len(one) - 1):
        a, b = direction(one, t), direction(other, t)
        if a is None or b is None:
            found.append(float(a is None and b is None))
        else:
            found.append(a[0] * b[0] + a[1] * b[1])
    return math.fsum(found) / len(found)


@pytest.mark.parametrize("seed", range(4))
def test_each_track_takes_its_best_match_both_ways(seed: int) -> None:
    edit, source = random_tracks(6, seed=seed), random_tracks(4, seed=seed + 50)
    edit[0, 2] = edit[0, 1]  # pauses, together and alone
    source[1, 2] = source[1, 1]
    source[2, 4] = source[2, 3]
    found = motion_fidelity(edit, source)
    there = [max(alike(one, other) for other in source) for one in edit]
    back = [max(alike(one, other) for one in edit) for other in source]
    assert found.edit_to_source == pytest.approx(math.fsum(there) / 6, abs=1e-12)
    assert found.source_to_edit == pytest.approx(math.fsum(back) / 4, abs=1e-12)
    assert found.both == pytest.approx((math.fsum(there) / 6 + math.fsum(back) / 4) / 2)
    assert (found.still_edit, found.still_source) == (0, 0)


@given(st.integers(1, 6), st.integers(2, 6), st.integers(0, 1000))
def test_equal_motion_is_kept_whole_wherever_it_is(count: int, frames: int, seed: int) -> None:
    tracks = random_tracks(count, frames, seed)
    found = motion_fidelity(tracks[::-1] * 3 + 100, tracks)
    assert found.both == pytest.approx(1)


@given(st.integers(0, 1000))
def test_it_is_bounded_and_symmetric(seed: int) -> None:
    edit, source = random_tracks(3, seed=seed), random_tracks(5, seed=seed + 1)
    one, other = motion_fidelity(edit, source), motion_fidelity(source, edit)
    assert one.both == pytest.approx(other.both)
    assert one.edit_to_source == pytest.approx(other.source_to_edit)
    assert -1 - 1e-9 <= one.edit_to_source <= 1 + 1e-9


def test_motion_that_is_gone_shows_in_one_direction_alone() -> None:
    steps = np.arange(4)[:, None]
    right, up = steps * [1.0, 0.0], steps * [0.0, -1.0]
    found = motion_fidelity(np.stack([right, right]), np.stack([right, up]))
    assert found.edit_to_source == pytest.approx(1)
    assert found.source_to_edit == pytest.approx(0.5)


def test_still_tracks_are_dropped_and_counted() -> None:
    edit, source = random_tracks(3), random_tracks(3, seed=1)
    still = np.full((2, 5, 2), 7.0)
    plain = motion_fidelity(edit, source)
    found = motion_fidelity(np.concatenate([edit, still]), np.concatenate([still[:1], source]))
    assert (found.still_edit, found.still_source) == (2, 1)
    assert found.both == pytest.approx(plain.both)


def test_steps_up_to_the_limit_are_none() -> None:
    tracks = random_tracks(2)
    trembling = np.full((1, 5, 2), 7.0) + np.random.default_rng(2).uniform(-0.1, 0.1, (1, 5, 2))
    found = motion_fidelity(np.concatenate([tracks, trembling]), tracks, still=0.3)
    assert found.still_edit == 1


def test_a_still_clip_has_no_value() -> None:
    still = np.zeros((3, 5, 2))
    with pytest.raises(EvalError, match=r"none of the 3 track\(s\) of the edit moves"):
        motion_fidelity(still, random_tracks(3))
    with pytest.raises(EvalError, match="of the source clip moves"):
        motion_fidelity(random_tracks(3), still)


def test_the_published_formula_takes_the_identity_and_has_no_value_for_a_pause() -> None:
    tracks = random_tracks(3)
    matrix = np.array([[alike(one, other) for other in tracks] for one in tracks])
    np.testing.assert_allclose(similarity(tracks, tracks), matrix, atol=1e-12)
    wanted = np.mean([max(matrix[i, j] - (i == j) for j in range(3)) for i in range(3)])
    assert motion_fidelity_dmt(tracks, tracks) == pytest.approx(wanted, abs=1e-12)
    assert wanted < 0.9
    paused = tracks.copy()
    paused[1, 2] = paused[1, 1]
    with pytest.raises(EvalError, match=r"1 track\(s\) of the edit stand still"):
        motion_fidelity_dmt(paused, tracks)
    with pytest.raises(EvalError, match="as many"):
        motion_fidelity_dmt(tracks[:2], tracks)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (np.zeros((0, 5, 2)), "none of them 0"),
        (np.zeros((3, 5)), r"\(points, frames, 2\)"),
        (random_tracks(3, frames=4), "4 frames, those of the source clip 5"),
        (np.full((3, 5, 2), math.nan), "NaN"),
    ],
)
def test_what_are_no_tracks_is_refused(edit: Floats, message: str) -> None:
    with pytest.raises(EvalError, match=message):
        motion_fidelity(edit, random_tracks(3))


def test_one_frame_has_no_motion() -> None:
    with pytest.raises(EvalError, match="at least 2"):
        motion_fidelity(np.zeros((3, 1, 2)), np.zeros((3, 1, 2)))


def test_a_pause_is_part_of_a_motion() -> None:
    paused = random_tracks(3)
    paused[:, 2] = paused[:, 1]
    assert motion_fidelity(paused, paused).both == pytest.approx(1)
    going_on = random_tracks(3)
    wanted = np.array([[alike(one, other) for other in paused] for one in going_on])
    np.testing.assert_allclose(similarity(going_on, paused), wanted, atol=1e-12)
    assert motion_fidelity(going_on, paused).both < 0.95
