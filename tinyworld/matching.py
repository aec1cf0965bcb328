"""Which of the reader's two slots holds which thing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tinyworld.scenes import MOST_THINGS, OF_A_THING

if TYPE_CHECKING:
    from tinyworld.reader import Reading  # protocols are named without torch, which it needs

PRESENT = 0.5
"""A thing is there where the reader says so with at least this likelihood."""
_AWAY = 16.0
"""Pixels of 64 that count as much as a wrong word."""
_ABSENT = 100.0
"""What an empty slot costs, in wrong words: more than any thing that is there, however far away."""


def matched(
    reading: Reading,
    things: Sequence[tuple[str | None, str | None]],
    near: npt.NDArray[np.float64] | None = None,
) -> Reading:
    """A reading with its things in a known order, frame by frame.

    Of all ways to give the things slots of their own, each frame gets that with the fewest empty
    slots, and of these that with the fewest wrong words and, where places are known, pixels away.
    What an empty slot holds does not matter.

    Args:
        reading: of F frames.
        things: colour and shape of one thing or two; none is any.
        near: (F, K, 2), where the things ought to be, in pixels.

    Returns:
        The same with arrays of (F, K) in place of (F, 2).
    """
    cost = np.zeros((len(reading.present), len(things), MOST_THINGS))
    for k, words in enumerate(things):
        for name, word in zip(OF_A_THING, words, strict=True):
            if word is not None:
                cost[:, k] += getattr(reading, name) != word
    if near is not None:
        cost += np.linalg.norm(near[:, :, None] - reading.centers[:, None], axis=-1) / _AWAY
    cost[np.broadcast_to(reading.present[:, None] < PRESENT, cost.shape)] = _ABSENT
    ways = np.array(list(itertools.permutations(range(MOST_THINGS), len(things))))
    columns = np.arange(len(things))
    totals = np.stack([cost[:, columns, way].sum(axis=1) for way in ways], axis=1)
    return reading.ordered(ways[totals.argmin(axis=1)])
