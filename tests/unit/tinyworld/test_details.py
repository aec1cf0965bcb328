"""What no caption names: decided by the seed, the same whatever the words, each for itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tinyworld.details import looks, place
from tinyworld.scenes import Scene, Thing

PAIR = (Thing(color="red", shape="fish"), Thing(color="blue", shape="car"))


@pytest.mark.xfail(
    strict=True,
    reason="numpy ignores a seed's trailing zeros, so [seed, 77, 0] draws what [seed, 77] does: "
    "the first thing's shade is the background's tint, its size the light, its phase the offset",
)
def test_one_detail_says_nothing_of_another() -> None:
    rows = []
    for seed in range(300):
        scene = Scene(things=PAIR, background="sea", seed=seed)
        one, other = looks(scene)
        ground = place(scene)
        rows.append(
            [x for look in (one, other) for x in (look.phase, look.shade, look.size)]
            + [*ground.offset, ground.tint, ground.light]
        )
    related = np.abs(np.corrcoef(np.array(rows).T))
    for first, second in itertools.combinations(range(len(related)), 2):
        assert related[first, second] < 0.25, (first, second)
