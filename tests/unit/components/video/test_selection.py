"""Frames by time, and how fast they play."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config import OutputConfig, VideoConfig
from components.errors import SourceError
from components.video.io import decode_clip
from components.video.read import Probe
from components.video.selection import playing_fps, select, select_frames
from tests.sample_videos import levels, write_video
from tests.unit.components.video.test_clock import write_gif


def source(shown: list[int], ticks: int = 100) -> Probe:
    fps = len(shown) * ticks / sum(shown)
    return Probe(num_frames=len(shown), fps=fps, width=8, height=8, shown=tuple(shown), ticks=ticks)


def steady(count: int, fps: float) -> Probe:
    return Probe(num_frames=count, fps=fps, width=8, height=8)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_uniform_counts_time_where_the_rate_varies(tmp_path: Path, suffix: str) -> None:
    """A second at 30 frames per second, then three at 10."""
    times = [*range(30), *range(30, 120, 3)]
    path = write_video(tmp_path / f"a{suffix}", 60, fps=30, times=times)
    clip = decode_clip(path, VideoConfig(num_frames=8, width=32, height=24))
    assert clip.frame_indices == (0, 14, 29, 34, 39, 44, 49, 54)
    assert levels(clip.frames)[:2] == [0, 14]
    assert clip.true_fps == pytest.approx(2, rel=0.02)
    assert clip.source is not None
    assert clip.source.reading == ("time",)


def test_a_gif_is_chosen_from_by_its_delays(tmp_path: Path) -> None:
    path = write_gif(tmp_path / "a.gif", [50, 50, *[10] * 10])
    clip = decode_clip(path, VideoConfig(num_frames=4, width=32, height=24))
    assert clip.frame_indices == (0, 1, 2, 7)
    assert clip.true_fps == 2


def test_stride_counts_frames_whatever_their_times(tmp_path: Path) -> None:
    path = write_gif(tmp_path / "a.gif", [50, 50, *[10] * 10])
    video = VideoConfig(num_frames=3, selection="stride", start=1, stride=2, width=32, height=24)
    clip = decode_clip(path, video)
    assert clip.frame_indices == (1, 3, 5)
    assert clip.true_fps == pytest.approx(2 / 0.8)  # at 0.5, 1.1 and 1.3 seconds
    assert clip.source is not None
    assert clip.source.reading == ()


def test_a_long_pause_is_one_frame_and_the_motion_stays_even() -> None:
    """Ten seconds that move, with thirty that stand still in their midst."""
    shown = [*[4] * 125, 3000, *[4] * 124]
    found = select(source(shown), VideoConfig(num_frames=20), "a.mp4")
    assert 125 in found.indices
    before = [index for index in found.indices if index < 125]
    assert len(before) == 10
    assert {b - a for a, b in itertools.pairwise(before)} <= {13, 14}
    assert found.true_fps == pytest.approx(19 / (249 * 0.04))  # the motion's own speed


def test_start_is_a_frame_and_not_a_time() -> None:
    found = select(source([100, 100, *[10] * 20]), VideoConfig(num_frames=4, start=2), "a.mp4")
    assert found.indices == (2, 7, 12, 17)
    assert not found.by_time


durations = st.lists(st.integers(1, 10_000), min_size=1, max_size=60)


@given(shown=durations, data=st.data())
def test_by_time_no_frame_is_taken_twice_and_none_is_late(shown: list[int], data: Any) -> None:
    count = data.draw(st.integers(1, len(shown)))
    start = data.draw(st.integers(0, len(shown) - count))
    found = select(source(shown), VideoConfig(num_frames=count, start=start), "a.mp4")
    assert len(set(found.indices)) == count
    assert list(found.indices) == sorted(found.indices)
    assert found.indices[0] == start
    step = Fraction(100) / Fraction(found.true_fps)
    # Once no frame shows for longer than a step, each is the one that shows at its time.
    time = 0.0
    counted = [min(ticks, float(step)) for ticks in shown]
    assert sum(counted[start:]) == pytest.approx(count * float(step), rel=1e-6)
    for index in range(start, len(shown)):
        if index in found.indices:
            due = found.indices.index(index) * float(step)
            assert time - 1e-3 <= due <= time + counted[index] + 1e-3
        time += counted[index]


@given(ticks=st.integers(10, 10_000), extra=st.integers(0, 200), data=st.data())
def test_exactly_even_times_choose_what_numbers_choose(ticks: int, extra: int, data: Any) -> None:
    count, start = data.draw(st.integers(1, 50)), data.draw(st.integers(0, 20))
    video = VideoConfig(num_frames=count, start=start)
    found = select(source([ticks] * (start + count + extra), 10_000), video, "a.mp4")
    assert found.indices == select_frames(start + count + extra, video, "a.mp4")
    assert not found.by_time


@pytest.mark.parametrize(
    ("found", "settings", "fps"),
    [
        (steady(240, 24), {"num_frames": 24}, 2.4),
        (steady(24, 24), {"num_frames": 24}, 24),
        (steady(48, 30000 / 1001), {"num_frames": 24, "start": 24}, 30000 / 1001),
        (steady(240, 24), {"num_frames": 1}, 0.1),
        (steady(100, 25), {"num_frames": 8, "selection": "stride"}, 25),
        (steady(100, 25), {"num_frames": 8, "selection": "stride", "stride": 5}, 5),
        (steady(10, 0.05), {"num_frames": 5}, 0.025),
        (source([10, 30, 10, 30, 10, 90]), {"num_frames": 1, "selection": "stride"}, 10),
    ],
)
def test_a_clip_plays_as_fast_as_its_source_moves(
    found: Probe, settings: dict[str, Any], fps: float
) -> None:
    assert select(found, VideoConfig(**settings), "a.mp4").true_fps == fps


def test_a_clip_that_would_hardly_move_is_refused() -> None:
    with pytest.raises(
        SourceError, match=r"clip of a\.mp4 plays at 1e-06 .*num_frames, video\.stride"
    ):
        select(steady(10_000, 0.01), VideoConfig(num_frames=1), "a.mp4")


@pytest.mark.parametrize(
    ("fps", "expected"), [("source_speed", 2.4), ("source_rate", 24.0), (8, 8.0)]
)
def test_the_output_says_how_fast_clips_play(fps: Any, expected: float) -> None:
    assert playing_fps(OutputConfig(fps=fps), 24.0, 2.4) == expected
    assert playing_fps(OutputConfig(), 24.0, None) == 24.0
