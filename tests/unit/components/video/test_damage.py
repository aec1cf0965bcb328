"""Damage among the frames: how much of it is found, and that none is seen where there is none.

The floors are what was measured with another seed and more damages, less some room: see "What of a
damaged video is found" in docs/operating.md.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from components.config import VideoLimits
from components.errors import SourceError
from components.video import read
from components.video.io import probe
from components.video.read import read_frames
from tests.sample_videos import moving_frames, write_video

SCENES = ("move", "cut", "fade", "flash", "noise", "still")
X265 = {"x265-params": "log-level=none"}
ENCODES: dict[str, tuple[str, str | None, dict[str, str]]] = {
    "h264-mp4": (".mp4", "libx264", {"bf": "3"}),
    "h264-intra-mov": (".mov", "libx264", {"g": "1"}),
    "h264-mkv": (".mkv", "libx264", {"x264-params": "open-gop=1:keyint=8"}),
    "h264-ts": (".ts", "libx264", {"bf": "2", "g": "8"}),
    "h264-flv": (".flv", "libx264", {}),
    "h264-avi": (".avi", "libx264", {"bf": "0"}),
    "hevc-mp4": (".mp4", "libx265", X265),
    "hevc-ts": (".ts", "libx265", X265),
    "av1-mp4": (".mp4", "libsvtav1", {"preset": "12"}),
    "vp9-webm": (".webm", "libvpx-vp9", {"cpu-used": "8"}),
    "vp9-altref-webm": (".webm", "libvpx-vp9", {"auto-alt-ref": "1", "lag-in-frames": "16"}),
    "vp9-lossless-mp4": (".mp4", "libvpx-vp9", {"lossless": "1", "cpu-used": "8"}),
    "vp8-webm": (".webm", "libvpx", {"cpu-used": "8"}),
    "vp8-ogv": (".ogv", "libvpx", {"cpu-used": "8"}),
    "mpeg4-mp4": (".mp4", "mpeg4", {"bf": "2"}),
    "mpeg4-avi": (".avi", "mpeg4", {}),
    "mpeg4-3gp": (".3gp", "mpeg4", {}),
    "msmpeg4-avi": (".avi", "msmpeg4", {}),
    "mjpeg-avi": (".avi", "mjpeg", {}),
    "mjpeg-mov": (".mov", "mjpeg", {}),
    "mpeg2-mpg": (".mpg", "mpeg2video", {"bf": "2"}),
    "mpeg2-vob": (".vob", "mpeg2video", {"bf": "2"}),
    "mpeg2-ts": (".ts", "mpeg2video", {"bf": "2"}),
    "flv-flv": (".flv", "flv", {}),
    "wmv1-asf": (".asf", "wmv1", {}),
    "wmv2-wmv": (".wmv", "wmv2", {}),
    "ffv1-mkv": (".mkv", "ffv1", {"level": "3", "slicecrc": "1"}),
    "prores-mov": (".mov", "prores_ks", {}),
    "png-mov": (".mov", "png", {}),
    "huffyuv-avi": (".avi", "huffyuv", {}),
    "y4m": (".y4m", None, {}),
    "gif": (".gif", None, {}),
    "apng": (".apng", None, {}),
    "webp": (".webp", None, {}),
}
FOUND = {
    # Of ten overwritings of 200 bytes, how many at least.
    "h264-mp4": 7,
    "h264-intra-mov": 8,
    "h264-mkv": 7,
    "h264-ts": 9,
    "hevc-ts": 9,
    "av1-mp4": 10,
    "vp9-webm": 10,
    "vp9-altref-webm": 10,
    "vp9-lossless-mp4": 10,
    "vp8-ogv": 10,
    "mpeg4-mp4": 9,
    "mpeg4-avi": 9,
    "mpeg2-mpg": 9,
    "mpeg2-ts": 9,
    "wmv2-wmv": 8,
    "ffv1-mkv": 10,
    "prores-mov": 9,
    "png-mov": 10,
    "apng": 10,
}


def made(folder: Path, name: str, scene: str = "move", **more: Any) -> Path:
    suffix, codec, options = ENCODES[name]
    return write_video(
        folder / f"{name}{suffix}", moving_frames(scene), codec=codec, options=options, **more
    )


def pixels(path: Path) -> list[NDArray[np.uint8]]:
    """All frames, decoded as ``probe`` decodes them."""
    limits = VideoLimits()
    with read._explained(path), read._opened(path, limits) as (container, track):
        frames = read._decoded(container, track, path, limits, twice=True)
        return [np.asarray(frame.image.to_ndarray(format="rgb24"), np.uint8) for frame in frames]


def equal(some: list[NDArray[np.uint8]], others: list[NDArray[np.uint8]]) -> bool:
    return len(some) == len(others) and all(map(np.array_equal, some, others))


@pytest.mark.parametrize("name", ENCODES)
def test_no_sound_video_is_taken_for_damaged(tmp_path: Path, name: str) -> None:
    for scene in SCENES:
        if (name, scene) == ("webp", "still"):
            continue  # its encoder makes one picture of equal ones
        assert probe(made(tmp_path, name, scene)).num_frames == 24


@pytest.mark.parametrize("name", ["h264-mp4", "h264-ts", "hevc-mp4", "vp9-webm", "mpeg4-avi"])
def test_no_varying_rate_is_taken_for_damage(tmp_path: Path, name: str) -> None:
    times = [index + (index > 5) * 7 + (index > 14) * 20 for index in range(24)]
    assert probe(made(tmp_path, name, "cut", times=times)).num_frames == 24


@pytest.mark.parametrize("name", FOUND)
def test_overwritten_bytes_are_found(tmp_path: Path, name: str) -> None:
    path = made(tmp_path, name)
    data, sound = path.read_bytes(), pixels(path)
    places, found = random.Random(name), 0
    for _ in range(10):
        at = places.randrange(len(data) // 4, len(data) - 200)
        path.write_bytes(data[:at] + places.randbytes(200) + data[at + 200 :])
        try:
            found += equal(pixels(path), sound)  # where nothing was hit
        except SourceError:
            found += 1
    assert found >= FOUND[name]


@pytest.mark.parametrize("name", ["vp9-webm", "vp9-altref-webm"])
def test_of_vp9_a_single_bit_is_found(tmp_path: Path, name: str) -> None:
    path = made(tmp_path, name)
    data, sound = path.read_bytes(), pixels(path)
    places, found = random.Random(name), 0
    for _ in range(20):
        damaged = bytearray(data)
        damaged[places.randrange(len(data) // 2, len(data) - 40)] ^= 1 << places.randrange(8)
        path.write_bytes(damaged)
        try:
            found += equal(pixels(path), sound)
        except SourceError:
            found += 1
    assert found >= 16


@pytest.mark.parametrize("name", ["vp9-webm", "vp9-altref-webm", "vp8-webm", "vp9-lossless-mp4"])
def test_the_second_decoder_sees_what_the_first_does(tmp_path: Path, name: str) -> None:
    """Both give equal pixels: what one says of damage is true of the other."""
    path = made(tmp_path, name, "cut")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        second: Any = av.CodecContext.create("libvpx-vp9" if "vp9" in name else "libvpx", "r")
        others = [
            frame.to_ndarray(format="rgb24")
            for packet in container.demux(stream)
            for frame in second.decode(packet if packet.size else None)
        ]
    assert equal(pixels(path), others)


def test_damage_names_the_frame_and_what_was_seen(tmp_path: Path) -> None:
    path = made(tmp_path, "ffv1-mkv")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"damaged or truncated after frame 1\d \(ffv1: .*copy"):
        probe(path)


def joined(path: Path, packets: int) -> bytes:
    return path.read_bytes()[188 * packets :]


class TestJoinedBroadcasts:
    """Recordings begin and end anywhere: frames count from the first key frame."""

    @pytest.fixture(params=["libx264", "libx265", "mpeg2video"])
    def whole(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        options = {
            "libx264": {"x264-params": "open-gop=1:keyint=8:min-keyint=8:bframes=3"},
            "libx265": {"x265-params": "open-gop=1:keyint=8:min-keyint=8:bframes=3:log-level=none"},
            "mpeg2video": {"g": "8", "bf": "2"},
        }[request.param]
        frames = moving_frames("move", 40)
        return write_video(tmp_path / "a.ts", frames, fps=25, codec=request.param, options=options)

    def test_begins_at_a_key_frame(self, whole: Path, tmp_path: Path) -> None:
        sound = pixels(whole)
        assert len(sound) == 40
        path = tmp_path / "b.ts"
        for packets in (9, 17, 30, 43):
            path.write_bytes(joined(whole, packets))
            found = pixels(path)
            assert 8 <= len(found) < 40
            assert equal(found, sound[-len(found) :])

    def test_a_last_frame_cut_in_two_is_mostly_refused(self, whole: Path, tmp_path: Path) -> None:
        path, data = tmp_path / "b.ts", whole.read_bytes()
        refused = 0
        sound = pixels(whole)
        for packets in range(20, 40, 3):
            path.write_bytes(data[: 188 * packets])
            try:
                found = pixels(path)
            except SourceError:
                refused += 1
            else:
                assert len(found) < 40  # those after the cut are not made up
                before = max(0, len(found) - 3)
                assert equal(found[:before], sound[:before])
        assert refused


def test_an_open_group_of_pictures_may_come_first(tmp_path: Path) -> None:
    """As where mp4 files are cut without encoding anew: the pictures before it are left out."""
    whole, path = tmp_path / "a.mp4", tmp_path / "b.mp4"
    options = {"x264-params": "open-gop=1:keyint=8:min-keyint=8:bframes=3"}
    write_video(whole, moving_frames("move", 32), codec="libx264", options=options)
    keys = 0
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            keys += packet.is_keyframe
            if keys > 1 and packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    found = pixels(path)
    assert 20 < len(found) < 32
    assert equal(found, pixels(whole)[-len(found) :])


def test_frames_that_an_avi_leaves_out_are_no_end(tmp_path: Path) -> None:
    """An empty chunk repeats the frame before."""
    path = write_video(tmp_path / "a.avi", moving_frames("move", 6), times=[0, 1, 5, 6, 9, 10])
    assert b"00dc\0\0\0\0" in path.read_bytes()
    assert probe(path).num_frames == 6
    assert len(list(read_frames(path, range(6)))) == 6


def test_damage_of_one_video_is_none_of_the_next(tmp_path: Path) -> None:
    """FFmpeg's log repeats itself; repetitions are told before whatever comes next."""
    path, sound = made(tmp_path, "vp8-ogv"), made(tmp_path, "h264-ts")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    for _ in range(3):
        with pytest.raises(SourceError, match="CRC mismatch"):
            probe(path)
        assert probe(sound).num_frames == 24


def test_the_log_of_other_work_is_left_alone(tmp_path: Path) -> None:
    level = av.logging.get_level()
    path = write_video(tmp_path / "a.mp4", 12)
    frames: Iterator[Any] = read_frames(path, [0, 5])
    next(frames)
    assert av.logging.get_level() == level
    frames.close()  # type: ignore[attr-defined]
    assert av.logging.get_level() == level
