"""Which frames of a source become its clip, and how fast they play as the source moves.

All in integers, and therefore equal on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from components.config import OutputConfig, VideoConfig
from components.errors import SourceError
from components.video.clock import checked_fps

if TYPE_CHECKING:
    from components.video.read import Probe


@dataclass(frozen=True, slots=True)
class Selection:
    """The frames of a clip."""

    indices: tuple[int, ...]
    """Ascending, distinct, 0-based."""
    true_fps: float
    """The rate at which they play as fast as the source moves."""
    by_time: bool
    """Whether they are others than their numbers alone would give."""


def playing_fps(output: OutputConfig, source_fps: float, true_fps: float | None) -> float:
    """The rate at which a clip and its edits play.

    Args:
        output: What was asked for.
        source_fps: The source's rate.
        true_fps: See ``Selection.true_fps``; not known of rows of former releases.
    """
    if output.fps == "source_speed":
        return source_fps if true_fps is None else true_fps
    return source_fps if output.fps == "source_rate" else float(output.fps)


def select(source: Probe, video: VideoConfig, name: str) -> Selection:
    """Choose the frames of a clip.

    ``stride`` counts frames. ``uniform`` counts time: index i is the frame that shows at
    ``i / num_frames`` of the time from ``start`` to the end. At a constant rate both are as in
    ``select_frames``. Where the rate varies, a frame that shows for longer than the clip's step
    counts as one step, so that none is taken twice and the rest stays even: a recording's long
    pause is one frame.

    Args:
        source: The whole source.
        video: The selection.
        name: The source, for messages.

    Raises:
        SourceError: the source has too few frames, or the clip would play too slowly or too fast.
    """
    count, start = video.num_frames, video.start
    indices = select_frames(source.num_frames, video, name)
    uniform = video.selection == "uniform"
    if not source.shown:
        covered = Fraction(source.num_frames - start, count) if uniform else video.stride
        fps = float(Fraction(source.fps) / covered)
        return Selection(indices, _checked(name, fps), by_time=False)
    if uniform:
        places, step = _by_time(source.shown[start:], count)
        chosen = tuple(start + place for place in places)
    else:
        chosen, step = indices, _mean_step(source.shown, indices)
    fps = float(source.ticks / step)
    return Selection(chosen, _checked(name, fps), by_time=chosen != indices)


def _checked(name: str, fps: float) -> float:
    remedy = (
        "its clock is damaged, or its frames lie too far apart (video.num_frames, video.stride)"
    )
    return checked_fps(f"the clip of {name}", fps, remedy)


def select_frames(available: int, video: VideoConfig, name: str) -> tuple[int, ...]:
    """Choose frame indices by number.

    ``uniform``: index i is ``start + floor(i * (available - start) / num_frames)``, i.e. the floors
    of ``linspace(start, available, num_frames, endpoint=False)`` (the paper: "32 uniform frames").
    ``stride``: index i is ``start + i * stride`` (the official dataset).

    Args:
        available: Frames that the source holds.
        video: The selection.
        name: The source, for the message.

    Raises:
        SourceError: the source has too few frames; none is ever repeated.
    """
    count, start = video.num_frames, video.start
    if video.selection == "uniform":
        needed = start + count
    else:
        needed = start + (count - 1) * video.stride + 1
    if available < needed:
        raise SourceError(
            f"{name} has {available} frames, but {needed} are needed ({video.selection} selection "
            f"of {count} frames, start {start}, stride {video.stride}): lower video.num_frames, "
            "video.start or video.stride, or use a longer video"
        )
    if video.selection == "uniform":
        return tuple(start + i * (available - start) // count for i in range(count))
    return tuple(start + i * video.stride for i in range(count))


def _by_time(shown: Sequence[int], count: int) -> tuple[list[int], Fraction]:
    """Choose frames at even times, a frame that shows for longer than a step counting as one.

    Args:
        shown: Ticks of each frame, all positive; at least ``count``.
        count: Frames to choose.

    Returns:
        Their places, and the step between their times in ticks.
    """
    rest = sorted(shown)
    total, short = sum(rest), count  # ticks of frames within a step, and steps that those fill
    while rest[-1] * short > total:
        total -= rest.pop()
        short -= 1
    # From here on in ticks of 1/short, of which a step has `total`.
    places: list[int] = []
    time = 0
    for place, ticks in enumerate(shown):
        end = time + min(ticks * short, total)
        if time <= len(places) * total < end:
            places.append(place)
        time = end
    return places, Fraction(total, short)


def _mean_step(shown: Sequence[int], indices: Sequence[int]) -> Fraction:
    """Ticks from one chosen frame to the next, on average."""
    first, last = indices[0], indices[-1]
    if first == last:
        return Fraction(shown[first])
    return Fraction(sum(shown[first:last]), len(indices) - 1)
