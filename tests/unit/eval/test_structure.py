"""Structure distance from its definition, and its laws."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from eval.errors import EvalError
from eval.structure import structure_distance

Floats = npt.NDArray[np.float64]


def random_keys(seed: int) -> Floats:
    return np.random.default_rng(seed).normal(size=(3, 7, 4))


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_mean_squared_difference_of_all_cosines(seed: int) -> None:
    source, edit = random_keys(seed), random_keys(seed + 9)
    total = 0.0
    for f in range(3):
        for i in range(7):
            for j in range(7):
                a, b = (
                    float(keys[f, i] @ keys[f, j])
                    / float(np.sqrt((keys[f, i] ** 2).sum() * (keys[f, j] ** 2).sum()))
                    for keys in (source, edit)
                )
                total += (a - b) ** 2
    assert structure_distance(source, edit) == pytest.approx(total / 3 / 49, rel=1e-12)


def test_equal_scaled_and_turned_keys_have_one_structure() -> None:
    keys = random_keys(1)
    turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(4, 4)))
    assert structure_distance(keys, keys) == 0
    assert structure_distance(keys, 3 * keys @ turn) == pytest.approx(0, abs=1e-24)


def test_the_worst_is_four() -> None:
    # All keys alike against keys of which one is turned round: cosines of 1 become -1.
    one, other = np.array([[[1.0, 0.0], [1.0, 0.0]]]), np.array([[[1.0, 0.0], [-1.0, 0.0]]])
    assert structure_distance(one, other) == pytest.approx(4 / 2)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (np.ones((2, 7, 4)), "as many"),
        (np.ones((3, 6, 4)), "as many"),
        (np.zeros((3, 7, 4)), "is zero"),
        (np.full((3, 7, 4), np.nan), "NaN"),
    ],
)
def test_what_cannot_be_compared_is_refused(edit: Floats, message: str) -> None:
    with pytest.raises(EvalError, match=message):
        structure_distance(random_keys(0), edit)


def test_no_frame_has_no_structure() -> None:
    with pytest.raises(EvalError, match="no frame"):
        structure_distance(np.ones((0, 7, 4)), np.ones((0, 7, 4)))
