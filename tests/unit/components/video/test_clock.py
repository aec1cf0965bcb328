"""How fast sources play, and how long, by the clocks of real files."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from components.config import VideoConfig, VideoLimits
from components.errors import SourceError
from components.video.clock import Clock
from components.video.io import decode_clip
from components.video.read import probe
from tests.sample_videos import grey_frames, write_folder, write_video


def write_gif(path: Path, delays: list[int]) -> Path:
    """A GIF whose frames show for so many hundredths of a second, as the bytes say."""
    frames = [Image.fromarray(frame[..., 0]) for frame in grey_frames(len(delays))]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=70)
    head, *rest = path.read_bytes().split(b"\x21\xf9\x04")
    assert len(rest) == len(delays)
    parts = [
        part[:1] + struct.pack("<H", d) + part[3:] for d, part in zip(delays, rest, strict=True)
    ]
    path.write_bytes(b"\x21\xf9\x04".join([head, *parts]))
    return path


def mux(path: Path, times: list[int], base: Fraction, sound: float = 0, **options: str) -> Path:
    """Write a container whose frames have these times, perhaps beside some seconds of sound."""
    kind = {"ts": "mpegts", "mkv": "matroska"}.get(path.suffix[1:], path.suffix[1:])
    with av.open(str(path), "w", format=kind, options=options) as container:
        stream: Any = container.add_stream("libx264", rate=round(1 / base))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"crf": "1", "preset": "ultrafast"}
        stream.codec_context.time_base = base
        voice: Any = container.add_stream("aac", rate=48_000) if sound else None
        for time, pixels in zip(times, grey_frames(len(times)), strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = time, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for index in range(int(sound * 48_000 / 1024)):
            still = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            still.sample_rate, still.pts = 48_000, 1024 * index
            container.mux(voice.encode(still))
        if voice:
            container.mux(voice.encode(None))
    return path


SECOND = VideoLimits(duration=1.5)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("start", [7200, 90_000])
def test_times_count_from_the_first_frame(tmp_path: Path, suffix: str, start: int) -> None:
    path = mux(tmp_path / f"a.{suffix}", [start * 30 + i for i in range(30)], Fraction(1, 30))
    found = probe(path, SECOND)
    assert (found.num_frames, found.fps, found.shown) == (30, 30, ())


@pytest.mark.parametrize("start", [20 * 3600 * 90_000, (1 << 33) - 45_000])
def test_a_transport_streams_clock_starts_anywhere_and_wraps(tmp_path: Path, start: int) -> None:
    times = [start + 3000 * i for i in range(30)]
    found = probe(mux(tmp_path / "a.ts", times, Fraction(1, 90_000)), SECOND)
    assert (found.num_frames, found.fps, found.shown) == (30, 30, ())


def test_a_stream_may_start_before_0(tmp_path: Path) -> None:
    path = mux(tmp_path / "a.mkv", [i - 15 for i in range(30)], Fraction(1, 30))
    assert probe(path, SECOND).fps == 30


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("start", [0, 5])
def test_a_longer_sound_is_no_longer_video(tmp_path: Path, suffix: str, start: int) -> None:
    times = [30 * start + i for i in range(30)]
    path = mux(tmp_path / f"a.{suffix}", times, Fraction(1, 30), sound=3)
    assert probe(path, SECOND).fps == 30


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_what_plays_too_long_is_refused_wherever_it_starts(tmp_path: Path, suffix: str) -> None:
    path = mux(tmp_path / f"a.{suffix}", [9000 + i for i in range(60)], Fraction(1, 30))
    with pytest.raises(
        SourceError, match=r"has (2\.0|1\.5\d*) seconds, but the limit is 1\.5: cut"
    ):
        probe(path, SECOND)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("fps", [Fraction(1, 20), Fraction(1, 3), Fraction(30_000, 1001), 1500])
def test_the_files_rate_is_kept(tmp_path: Path, suffix: str, fps: Fraction) -> None:
    found = probe(write_video(tmp_path / f"a.{suffix}", 30, fps=fps))
    assert found.fps == pytest.approx(float(fps), rel=1e-4)
    assert found.shown == ()


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
def test_a_single_frame_has_the_files_rate(tmp_path: Path, suffix: str) -> None:
    found = probe(write_video(tmp_path / f"a.{suffix}", 1, fps=5))
    assert (found.num_frames, found.fps) == (1, 5)


@pytest.mark.parametrize(
    ("delays", "fps"),
    [
        ([0] * 6, 10),
        ([1] * 6, 10),
        ([2] * 6, 50),
        ([3, 3, 4] * 4, 30),
        ([10, 1, 0, 10], 10),
        ([50] * 4, 2),
        ([1], 10),
        ([25], 4),
    ],
)
def test_gifs_play_as_in_browsers(tmp_path: Path, delays: list[int], fps: float) -> None:
    found = probe(write_gif(tmp_path / "a.gif", delays))
    assert found.fps == pytest.approx(fps, rel=0.02)
    assert found.shown == ()


def test_each_of_mixed_delays_counts(tmp_path: Path) -> None:
    found = probe(write_gif(tmp_path / "a.gif", [1, 2, 0, 50, 3, 100]))
    assert (found.shown, found.ticks) == ((10, 2, 10, 50, 3, 100), 100)
    assert found.fps == pytest.approx(5 / 0.75)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
def test_a_varying_rate_is_told_from_rounding(tmp_path: Path, suffix: str) -> None:
    even = write_video(tmp_path / f"even.{suffix}", 30, fps=Fraction(24_000, 1001))
    assert probe(even).shown == ()
    times = [*range(30), *range(30, 120, 3)]
    found = probe(write_video(tmp_path / f"varying.{suffix}", 60, fps=30, times=times))
    assert found.fps == pytest.approx(59 / (117 / 30), rel=0.01)
    seconds = [ticks / found.ticks for ticks in found.shown]
    assert seconds[:30] == pytest.approx([1 / 30] * 30, abs=2e-3)
    assert seconds[30:-1] == pytest.approx([1 / 10] * 29, abs=2e-3)


def test_a_jitter_that_shows_in_no_choice_counts_as_even(tmp_path: Path) -> None:
    jitter = np.random.default_rng(0).integers(-9, 10, 60)
    times = [33 * i + int(jitter[i]) for i in range(60)]
    path = mux(tmp_path / "a.mkv", times, Fraction(1, 1000))
    assert probe(path).shown == ()


@pytest.mark.parametrize("kind", ["mp4", "folder", "gif"])
def test_a_given_rate_takes_the_place_of_the_sources_clock(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        path = write_folder(tmp_path / "f", [f"{i}.png" for i in range(8)])
        assert probe(path).fps == 24
    elif kind == "gif":
        path = write_gif(tmp_path / "a.gif", [1, 2, 0, 50, 3, 100, 5, 5])
    else:
        path = write_video(tmp_path / "a.mp4", 8, fps=1, times=[900 * i**2 for i in range(8)])
        with pytest.raises(SourceError, match="seconds, but the limit is 3600"):
            probe(path)
    clip = decode_clip(path, VideoConfig(num_frames=4, width=16, height=16, fps=12))
    assert clip.frame_indices == (0, 2, 4, 6)
    assert (clip.fps, clip.true_fps) == (12, 6)
    assert clip.source is not None
    assert clip.source.reading == ()


def test_a_given_rate_is_held_to_the_limit_too(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 12, fps=12)
    with pytest.raises(SourceError, match=r"has 1\.6\d* seconds, but the limit is 1\.5"):
        probe(path, SECOND, fps=6.2)


class File:
    """What PyAV tells of a stream, for clocks that it writes into no file."""

    def __init__(self, rate: Fraction | None, kind: str = "matroska") -> None:
        self.average_rate, self.guessed_rate = rate, None
        self.time_base = Fraction(1, 90_000)
        self.duration = self.start_time = None
        self.streams = [self]
        self.format = av.format.ContainerFormat(kind, "r")

    def clock(self, limits: VideoLimits = SECOND) -> Clock:
        return Clock(self, self, "a.ts", limits, None)


def feed(clock: Clock, pts: list[int | None], dts: list[int | None] | None = None) -> Clock:
    for time, order in zip(pts, dts or pts, strict=True):
        frame = av.VideoFrame(16, 16, "rgb24")
        frame.pts, frame.dts, frame.duration = time, order, 0
        clock.add(frame)
    return clock


STEADY = [3000 * i for i in range(30)]


@pytest.mark.parametrize("jump", [-(1 << 33), -2_000_000, 95_000 * 90_000])
def test_a_clock_that_is_set_anew_goes_on(jump: int) -> None:
    """A counter of 33 bits that begins anew, and recordings cut together."""
    times: list[Any] = [time + (1 << 33) + (jump if i > 12 else 0) for i, time in enumerate(STEADY)]
    timing = feed(File(Fraction(30), "mpegts").clock(), times).timing()
    assert (timing.fps, timing.shown) == (30, ())


def test_a_long_still_is_no_cut_where_files_are_not_cut_together() -> None:
    limits = VideoLimits()
    times: list[Any] = [time + (20 * 90_000 if i > 12 else 0) for i, time in enumerate(STEADY)]
    timing = feed(File(Fraction(30)).clock(limits), times).timing()
    assert timing.shown[12] == 3000 + 20 * 90_000
    with pytest.raises(SourceError, match=r"has 20\.4\d* seconds"):
        feed(File(Fraction(30)).clock(), times)


def test_frames_without_times_play_at_the_files_rate() -> None:
    none: list[Any] = [None] * 30
    assert feed(File(Fraction(25)).clock(), none).timing().fps == 25
    assert feed(File(Fraction(25)).clock(), none, list(STEADY)).timing().fps == 30
    with pytest.raises(SourceError, match=r"a\.ts has 29\.0 seconds"):
        feed(File(Fraction(1)).clock(), none).timing()


def test_times_in_the_wrong_order_give_way_to_those_of_decoding() -> None:
    wrong: list[Any] = [0, 6000, 3000, 12_000, 9000, 18_000, 15_000]
    timing = feed(File(Fraction(30)).clock(), wrong, list(STEADY[:7])).timing()
    assert (timing.fps, timing.shown) == (30, ())


def test_frames_may_count_in_another_time_base_than_their_stream() -> None:
    clock = File(Fraction(30)).clock()
    for index in range(30):
        frame = av.VideoFrame(16, 16, "rgb24")
        frame.pts, frame.time_base = 2 * index, Fraction(1, 60)
        clock.add(frame)
    assert clock.timing().fps == 30


@pytest.mark.parametrize("rate", [None, Fraction(90_000), Fraction(1_000_000), Fraction(1, 99_999)])
def test_a_rate_that_is_none_gives_way_to_the_frames_times_or_is_refused(
    rate: Fraction | None,
) -> None:
    assert feed(File(rate).clock(), list(STEADY)).timing().fps == 30
    with pytest.raises(
        SourceError, match=r"a\.ts (plays at|does not say) .* give its rate as video"
    ):
        feed(File(rate).clock(), [None] * 5).timing()


def test_a_clock_that_hardly_moves_is_refused() -> None:
    with pytest.raises(
        SourceError, match=r"a\.ts plays at 90000 frames per second, but 0\.0001 to"
    ):
        feed(File(Fraction(25)).clock(), list(range(30))).timing()
