"""The clock of a source: when each of its frames shows, and how fast they play.

Times count from the first frame, wherever its stream starts. They are whole ticks of the file's own
time base, so that every machine chooses frames alike.
"""

from __future__ import annotations

import itertools
import statistics
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from components.config import FPS_RANGE, VideoLimits
from components.errors import SourceError
from components.video.limits import check_limit

FRAME_FOLDER_FPS = 24.0
"""A folder of frames has no clock: without ``video.fps`` it plays at DAVIS's rate."""
_TOLERANCE = 0.02
"""Of the header's rate against the frames' own times."""
_ANIMATIONS = ("apng", "gif")
"""Formats whose frames of up to 10 ms show for 100 ms, as in every browser."""
_AT_MOST, _INSTEAD = Fraction(10, 1000), Fraction(100, 1000)
_CUT = 10
"""Seconds. In formats that may be cut together (MPEG-TS, MPEG-PS, Ogg) a longer step is a cut and
no still."""
_UNKNOWN = -(1 << 63)


@dataclass(frozen=True, slots=True)
class Timing:
    """How fast a source plays."""

    fps: float
    """Frames per second; the mean where the rate varies."""
    shown: tuple[int, ...] = ()
    """For how many ticks each frame shows; empty where the rate is constant."""
    ticks: int = 1
    """Of a second."""


def check_seconds(name: str, seconds: float, limits: VideoLimits) -> None:
    """Raise a SourceError when a source plays longer than it may."""
    remedy = "cut it, or raise video.limits.duration"
    check_limit(name, "seconds", round(seconds, 3), limits.duration, remedy)


_REMEDY = (
    "its clock is damaged; give its rate as video.fps, or as fps of its frames in the manifest"
)


def checked_fps(name: str, fps: float, remedy: str = _REMEDY) -> float:
    """The rate, when a video can play at it.

    Raises:
        SourceError: it is none that a video plays at.
    """
    lowest, highest = FPS_RANGE
    if not lowest <= fps <= highest:
        found = f"plays at {fps:.6g} frames per second" if fps > 0 else "does not say how fast"
        raise SourceError(
            f"{name} {found}, but {lowest:g} to {highest:g} frames per second are "
            f"supported: {remedy}"
        )
    return fps


class Clock:
    """Reads the times of a stream's frames, one by one, and says what they come to."""

    def __init__(
        self, container: Any, stream: Any, name: str, limits: VideoLimits, fps: float | None
    ) -> None:
        """Check what the headers say.

        Args:
            container: PyAV's.
            stream: Of the container.
            name: The source, for messages.
            limits: How long it may play.
            fps: ``video.fps``: its rate, whatever the file says.

        Raises:
            SourceError: it says that it plays longer than it may.
        """
        from av.format import Flags

        self._name, self._limits, self._given = name, limits, fps
        self._base = Fraction(stream.time_base)
        rate = stream.average_rate or stream.guessed_rate
        self._declared = float(rate) if rate else 0.0
        self._cuts = bool(container.format.flags & Flags.ts_discont.value)
        self._animation = container.format.name.startswith(_ANIMATIONS)
        self._pts, self._dts = array("q"), array("q")
        self._last = 0
        self._elapsed = 0
        if fps is None:
            check_seconds(name, _declared_seconds(container, stream), limits)

    def add(self, image: Any) -> None:
        """Note a frame's time.

        Args:
            image: PyAV's frame, in the order in which frames show.

        Raises:
            SourceError: the source plays longer than it may.
        """
        before = self._pts[-1] if self._pts else _UNKNOWN
        # Filters may have a time base of their own.
        scale = Fraction(image.time_base or self._base) / self._base
        for times, time in ((self._pts, image.pts), (self._dts, image.dts)):
            times.append(_UNKNOWN if time is None else round(time * scale))
        self._last = max(round((image.duration or 0) * scale), 0)
        if self._given is not None:
            seconds = (len(self._pts) - 1) / self._given
        else:
            if _UNKNOWN not in (before, self._pts[-1]) and self._is_step(self._pts[-1] - before):
                self._elapsed += self._pts[-1] - before
            seconds = float(self._elapsed * self._base)
        check_seconds(self._name, seconds, self._limits)

    def timing(self) -> Timing:
        """What the times of all frames come to.

        Raises:
            SourceError: the source does not say how fast it plays, at a rate that no video has, or
                plays longer than it may.
        """
        if self._given is not None:
            return Timing(self._given)
        steps = self._steps()
        last = self._animated(self._last)
        known = steps or [last]
        fps = checked_fps(self._name, self._rate(len(known), sum(known)))
        seconds = float(sum(steps) * self._base) if steps else (len(self._pts) - 1) / fps
        check_seconds(self._name, seconds, self._limits)
        if _is_even(steps):
            return Timing(fps)
        shown = [max(step, 1) for step in [*steps, last or sum(steps) // len(steps)]]
        return Timing(
            fps, tuple(step * self._base.numerator for step in shown), self._base.denominator
        )

    def _steps(self) -> list[int]:
        """Ticks from each frame to the next; empty where the frames say too little."""
        whole = [times for times in (self._pts, self._dts) if _UNKNOWN not in times]
        if not whole:
            return []
        # Of some files only the order of decoding is sound.
        steps = min((_differences(times) for times in whole), key=_turns)
        sound = [step for step in steps if self._is_step(step)]
        if not sound:
            return []
        # Where clocks are set anew, such as by a cut or after 33 bits, the frame before shows as
        # long as others do.
        usual = round(statistics.median(sound))
        return [self._animated(step if self._is_step(step, 0) else usual) for step in steps]

    def _is_step(self, step: int, least: int = 1) -> bool:
        return step >= least and not (self._cuts and step * self._base > _CUT)

    def _animated(self, step: int) -> int:
        short = self._animation and step * self._base <= _AT_MOST
        return round(_INSTEAD / self._base) if short else step

    def _rate(self, count: int, span: int) -> float:
        """The header's rate while it agrees with the frames' own times, else the latter's.

        Args:
            count: Steps.
            span: Ticks of all of them; 0 where they are not known.
        """
        if not span:
            return self._declared
        seconds = float(span * self._base)
        # Times are rounded to ticks.
        room = _TOLERANCE * count + self._declared * float(self._base)
        agrees = abs(self._declared * seconds - count) <= room
        return self._declared if agrees else count / seconds


def _differences(times: Sequence[int]) -> list[int]:
    return [after - before for before, after in itertools.pairwise(times)]


def _turns(steps: Sequence[int]) -> int:
    """How often time runs backwards."""
    return sum(step < 0 for step in steps)


def _is_even(steps: Sequence[int]) -> bool:
    """Whether no frame is half a step or more off even spacing, nor more than one tick.

    Times rounded to ticks, such as Matroska's milliseconds, are even, and so is a jitter that no
    choice of frames would show.
    """
    count, span = len(steps), sum(steps)
    room = max(span, 2 * count)
    times = itertools.accumulate(steps)
    return all(2 * abs(count * time - i * span) <= room for i, time in enumerate(times, 1))


def _declared_seconds(container: Any, stream: Any) -> float:
    """How long the headers say that the stream plays; 0 where they say it of no stream alone."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    if not container.duration or len(container.streams) > 1:  # sound may be longer
        return 0.0
    # Matroska's counts from 0 and not from where the stream starts.
    return float(container.duration - max(container.start_time or 0, 0)) / 1_000_000
