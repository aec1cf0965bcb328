"""Metrics on embeddings: by hand, by property, and against the published evaluation's numbers."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eval.errors import EvalError
from eval.metrics import frame_consistency, textual_alignment

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
