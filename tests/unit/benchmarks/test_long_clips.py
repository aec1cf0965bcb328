"""Seams of long clips: which pairs of frames are at them, and that a fault there is found there."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from benchmarks.long_clips import _summary, at_seams, by_seam
from tav_model.windows import Windows
from tinyworld.reader import Reading

FRAMES = 96
PROMPTS = ("a red fish over the sea", "a blue fish over the sea")


def test_pairs_inside_are_those_of_one_window_alone() -> None:
    windows = Windows(24, 8)
    seams = at_seams(windows, FRAMES)
    assert seams.shape == (FRAMES - 1,)
    starts = windows.starts(FRAMES)
    assert starts == [0, 14, 29, 43, 58, 72]
    assert not seams[: starts[1] - 1].any(), "the first window is alone at first"
    assert seams[starts[1] - 1 : 24].all(), "from the second window's start to the first one's end"
    assert not seams[24 : starts[2] - 1].any()
    assert not at_seams(windows, 24).any()


def reading(color: str, **changes: object) -> Reading:
    """A lone thing that moves to the right."""
    two = np.ones((FRAMES, 2))
    centers = np.stack([np.linspace(10, 50, FRAMES), np.full(FRAMES, 30.0)], axis=-1)

    def word(text: str) -> np.ndarray:
        return np.full((FRAMES, 2), text)

    parts = {
        "present": two * [1.0, 0.0],
        "color": word(color),
        "shape": word("fish"),
        "pattern": word("spots"),
        "rim": word("thin"),
        "shade": 0 * two,
        "size": 12 * two,
        "centers": np.stack([centers, centers], axis=1),
        "background": np.full(FRAMES, "sea"),
        "style": np.full(FRAMES, "plain"),
        "tint": np.zeros(FRAMES),
        "light": np.zeros(FRAMES),
    }
    return Reading(**(parts | changes))  # type: ignore[arg-type]


def test_what_changes_at_a_seam_is_found_at_seams_alone() -> None:
    seams = at_seams(Windows(24, 8), FRAMES)
    source, edit = reading("red"), reading("blue")
    steady = by_seam(edit, source, PROMPTS, seams)
    assert steady == {"identity_drift": (0, 0), "flicker": (0, 0)}
    pattern, color = edit.pattern.copy(), edit.color.copy()
    pattern[16:], color[16:] = "stripes", "green"
    assert seams[15]
    torn = by_seam(dataclasses.replace(edit, pattern=pattern, color=color), source, PROMPTS, seams)
    for at, inside in torn.values():
        assert at > 0
        assert inside == 0
    assert torn["flicker"][0] == pytest.approx(100 / seams.sum())


def test_differences_are_of_videos_and_have_intervals() -> None:
    rows = {str(k): [{"d": float(k)}, {"d": float("nan")}] for k in range(4)}
    (found,) = _summary(rows | {"none": [{"d": float("nan")}]}).values()
    assert found is not None
    assert found.mean == 1.5
    assert found.low is not None
    assert found.low < 1.5 < found.high  # type: ignore[operator]
    assert json.dumps(found.mean)
