"""What models that look at stills are taught besides: which colour each shape has."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tinyworld.scenes import ATTRIBUTES, SHAPES
from tinyworld.train.data import Stills, stills
from tinyworld.train.lessons import Lessons, _color_by_shape

COLORS = ATTRIBUTES["color"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Stills:
    return stills(tmp_path_factory.mktemp("stills"), 32, seed=7)


def test_each_shape_has_its_colour_or_is_not_there(data: Stills) -> None:
    found = _color_by_shape(data.things)
    assert found.shape == (32, len(SHAPES))
    for index in range(32):
        named = {shape: color for color, shape in data.scene(index).words.things}
        for shape, color in zip(SHAPES, found[index].tolist(), strict=True):
            expected = COLORS.index(named[shape]) if named.get(shape) else len(COLORS)
            assert color == expected


def test_lessons_are_learnt_from_features_that_tell_and_from_no_others(data: Stills) -> None:
    index = torch.arange(32)
    telling = torch.from_numpy(
        np.concatenate(
            [np.eye(len(COLORS) + 1)[_color_by_shape(data.things)].reshape(32, -1)]
            + [np.eye(8)[data.frames[:, k]] for k in (0, 1)],
            axis=1,
        )
    ).float()
    silent = torch.ones_like(telling)
    losses = {}
    for name, features in (("telling", telling), ("silent", silent)):
        torch.manual_seed(0)
        lessons = Lessons(features.shape[1])
        optimizer = torch.optim.Adam(lessons.parameters(), lr=0.1)
        for _ in range(200):
            optimizer.zero_grad()
            loss = lessons(features, data, index)
            loss.backward()
            optimizer.step()
        losses[name] = float(loss.detach())
    assert losses["telling"] < 0.1
    assert losses["silent"] > 2
