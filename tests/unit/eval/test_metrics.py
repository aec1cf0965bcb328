"""Metrics on embeddings: by hand, by property, and against the published evaluation's numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eval.errors import EvalError
from eval.metrics import (
    adjacent_consistency,
    anchored_consistency,
    frame_accuracy,
    frame_consistency,
    scaled_alignment,
    textual_alignment,
)

Floats = npt.NDArray[np.float64]


def embeddings(min_frames: int = 2) -> st.SearchStrategy[Floats]:
    shapes = st.tuples(st.integers(min_frames, 9), st.integers(1, 8))
    values = st.floats(-1e6, 1e6, allow_subnormal=False)
    return shapes.flatmap(
        lambda shape: hnp.arrays(np.float64, shape, elements=values).filter(
            lambda array: bool((np.abs(array).max(axis=1) > 0).all())
        )
    )


def test_frame_consistency_averages_every_pair() -> None:
    frames = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    # cos(0,1) = 0, cos(0,2) = cos(1,2) = √½. Consecutive pairs alone would give 35.4.
    assert frame_consistency(frames) == pytest.approx(100 * (2 * math.sqrt(0.5)) / 3)


def test_textual_alignment_averages_every_frame() -> None:
    frames = np.array([[1.0, 0.0], [0.0, 2.0], [-4.0, 0.0], [3.0, 3.0]])
    expected = 100 * (1 + 0 - 1 + math.sqrt(0.5)) / 4
    assert textual_alignment(frames, np.array([0.5, 0.0])) == pytest.approx(expected)


@given(embeddings())
def test_frame_consistency_is_bounded(frames: Floats) -> None:
    assert -100 - 1e-9 <= frame_consistency(frames) <= 100 + 1e-9


@given(embeddings(), st.randoms(use_true_random=False))
def test_order_of_frames_does_not_matter(frames: Floats, random: object) -> None:
    order = list(range(len(frames)))
    random.shuffle(order)  # type: ignore[attr-defined]
    text = np.ones(frames.shape[1])
    assert frame_consistency(frames[order]) == pytest.approx(frame_consistency(frames), abs=1e-9)
    assert textual_alignment(frames[order], text) == pytest.approx(
        textual_alignment(frames, text), abs=1e-9
    )


@given(embeddings(min_frames=1), st.integers(2, 6))
def test_identical_frames_are_fully_consistent(frames: Floats, count: int) -> None:
    assert frame_consistency(np.repeat(frames[:1], count, axis=0)) == pytest.approx(100)


@given(embeddings(), st.floats(1e-3, 1e3))
def test_length_does_not_matter(frames: Floats, factor: float) -> None:
    assert frame_consistency(frames * factor) == pytest.approx(frame_consistency(frames), abs=1e-6)


@given(embeddings(min_frames=1))
def test_a_frame_aligned_with_itself_is_100_and_with_its_opposite_minus_100(
    frames: Floats,
) -> None:
    assert textual_alignment(frames[:1], frames[0]) == pytest.approx(100)
    assert textual_alignment(frames[:1], -frames[0]) == pytest.approx(-100)


def test_float32_loses_nothing_that_shows() -> None:
    wide = np.random.default_rng(0).normal(size=(32, 512))
    assert frame_consistency(wide.astype(np.float32)) == pytest.approx(
        frame_consistency(wide), abs=1e-4
    )


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_extreme_lengths_neither_vanish_nor_overflow(size: float) -> None:
    assert frame_consistency(np.full((2, 4), size)) == pytest.approx(100)


def test_one_frame_names_the_remedy() -> None:
    with pytest.raises(EvalError, match=r"at least 2; raise video\.num_frames"):
        frame_consistency(np.ones((1, 4)))


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((0, 4)), "shape"),
        (np.ones(4), "shape"),
        (np.array([[1.0, np.nan], [1.0, 1.0]]), "NaN"),
        (np.array([[1.0, np.inf], [1.0, 1.0]]), "infinity"),
        (np.array([[0.0, 0.0], [1.0, 1.0]]), "is zero"),
    ],
)
def test_unusable_embeddings_never_become_a_number(frames: Floats, message: str) -> None:
    with pytest.raises(EvalError, match=message):
        frame_consistency(frames)
    with pytest.raises(EvalError, match=message):
        textual_alignment(frames, np.ones(2))


def test_embeddings_of_two_models_are_refused() -> None:
    with pytest.raises(EvalError, match="take both from one model"):
        textual_alignment(np.ones((2, 4)), np.ones(5))


def cosine(one: Floats, other: Floats) -> float:
    products = [float(a) * float(b) for a, b in zip(one, other, strict=True)]
    lengths = [math.sqrt(math.fsum(float(a) ** 2 for a in each)) for each in (one, other)]
    return math.fsum(products) / lengths[0] / lengths[1]


def random_embeddings(count: int, seed: int) -> Floats:
    return np.random.default_rng(seed).normal(size=(count, 5))


@pytest.mark.parametrize("seed", range(5))
def test_adjacent_consistency_compares_each_frame_with_the_one_before(seed: int) -> None:
    frames = random_embeddings(6, seed)
    cosines = [cosine(a, b) for a, b in pairwise(frames)]
    assert min(cosines) < 0  # else clamping would not show
    plain = adjacent_consistency(frames, clamped=False)
    assert plain == pytest.approx(math.fsum(cosines) / 5, abs=1e-12)
    clamped = adjacent_consistency(frames, clamped=True)
    assert clamped == pytest.approx(math.fsum(max(c, 0) for c in cosines) / 5, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_anchored_consistency_is_of_the_frame_before_and_the_first(seed: int) -> None:
    frames = random_embeddings(6, seed)
    each = [
        (max(0, cosine(frames[i], frames[i - 1])) + max(0, cosine(frames[i], frames[0]))) / 2
        for i in range(1, 6)
    ]
    assert anchored_consistency(frames) == pytest.approx(math.fsum(each) / 5, abs=1e-12)


@given(embeddings(min_frames=1), st.integers(2, 6))
def test_a_still_clip_is_consistent_by_every_definition(frames: Floats, count: int) -> None:
    still = np.repeat(frames[:1], count, axis=0)
    assert adjacent_consistency(still, clamped=True) == pytest.approx(1)
    assert adjacent_consistency(still, clamped=False) == pytest.approx(1)
    assert anchored_consistency(still) == pytest.approx(1)


@given(embeddings())
def test_consistencies_are_bounded_and_clamping_never_lowers(frames: Floats) -> None:
    clamped = adjacent_consistency(frames, clamped=True)
    assert adjacent_consistency(frames, clamped=False) <= clamped <= 1 + 1e-9
    assert 0 <= anchored_consistency(frames) <= 1 + 1e-9


@pytest.mark.parametrize(
    "measure",
    [
        frame_consistency,
        lambda frames: adjacent_consistency(frames, clamped=True),
        anchored_consistency,
    ],
)
def test_one_frame_has_no_consistency(measure: Callable[[Floats], float]) -> None:
    with pytest.raises(EvalError, match="at least 2"):
        measure(np.ones((1, 4)))
    with pytest.raises(EvalError, match="is zero"):
        measure(np.zeros((3, 4)))


@pytest.mark.parametrize("seed", range(3))
def test_scaled_alignment_is_the_mean_logit(seed: int) -> None:
    frames, text = random_embeddings(4, seed), random_embeddings(1, 9)[0]
    wanted = math.fsum(100 * cosine(frame, text) for frame in frames) / 4
    assert scaled_alignment(frames, text, 100) == pytest.approx(wanted, abs=1e-10)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_that_is_none_is_refused(scale: float) -> None:
    with pytest.raises(EvalError, match="logit scale"):
        scaled_alignment(np.ones((2, 4)), np.ones(4), scale)


def test_frame_accuracy_counts_frames_nearer_to_the_target() -> None:
    frames = random_embeddings(50, 1)
    source, target = random_embeddings(2, 2)
    nearer = [cosine(frame, target) > cosine(frame, source) for frame in frames]
    assert 0 < sum(nearer) < 50
    assert frame_accuracy(frames, source, target, ties=True) == sum(nearer) / 50
    assert frame_accuracy(frames, source, target, ties=False) == sum(nearer) / 50


def test_a_tie_counts_in_one_definition_of_frame_accuracy() -> None:
    frames, text = random_embeddings(4, 1), random_embeddings(1, 2)[0]
    assert frame_accuracy(frames, text, text, ties=True) == 1
    assert frame_accuracy(frames, text, text, ties=False) == 0
    with pytest.raises(EvalError, match="one model"):
        frame_accuracy(frames, text, np.ones(7), ties=True)
