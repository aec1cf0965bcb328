"""Limits, damage and truncation of sources."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.config import GIB, VideoConfig, VideoLimits
from components.errors import SourceError
from components.video.io import (
    decode_clip,
    probe,
)
from tests.sample_videos import SUFFIXES, grey_frames, write_video


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"file_gib": 9 / GIB}, r"a\.mp4 has \d+ bytes, but the limit is 9: cut"),
        ({"frame_pixels": 9}, r"a\.mp4 has 3072 pixels a frame, but the limit is 9: scale"),
        ({"frames": 9}, r"a\.mp4 has 12 frames, but the limit is 9: cut .*video\.limits\.frames"),
        ({"duration": 0.9}, r"a\.mp4 has 1\.0 seconds, but the limit is 0\.9: cut .*\.duration"),
    ],
)
def test_limits_are_checked_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: Any, message: str
) -> None:
    path = write_video(tmp_path / "a.mp4", 12)
    monkeypatch.setattr("components.video.read._decoded", "never called")
    with pytest.raises(SourceError, match=message):
        probe(path, VideoLimits(**limit))


@pytest.mark.parametrize(("limit", "message"), [("frames", "has 10 frames"), ("duration", "has 9")])
def test_limits_hold_where_headers_say_nothing(tmp_path: Path, limit: str, message: str) -> None:
    """A live recording knows neither how many frames it has nor how long it is."""
    path = tmp_path / "live.webm"
    options = {"live": "1"}
    with av.open(str(path), "w", format="webm", options=options) as container:
        stream: Any = container.add_stream("libvpx-vp9", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in grey_frames(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))
    assert probe(path).num_frames == 12
    limits: dict[str, Any] = {limit: 9 if limit == "frames" else 8.5}
    with pytest.raises(SourceError, match=message):
        probe(path, VideoLimits(**limits))


@functools.cache
def whole_video(suffix: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (6, 16, 24, 3)).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = write_video(Path(folder) / f"a{suffix}", noise, faststart=suffix in (".mp4", ".mov"))
        return path.read_bytes()


@given(data=st.data(), suffix=st.sampled_from(SUFFIXES))
@settings(max_examples=250, deadline=None)
def test_damaged_bytes_never_escape_as_another_error(data: st.DataObject, suffix: str) -> None:
    content = bytearray(whole_video(suffix))
    for _ in range(data.draw(st.integers(0, 6))):
        # Headers are where the parsers are: half of the hits go there.
        last = len(content) - 1 if data.draw(st.booleans()) else 900
        content[data.draw(st.integers(0, last))] = data.draw(st.integers(0, 255))
    if data.draw(st.integers(0, 9)) == 0:
        del content[data.draw(st.integers(0, len(content))) :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"damaged{suffix}"
        path.write_bytes(content)
        try:
            clip = decode_clip(path, VideoConfig(num_frames=3, width=16, height=16))
        except SourceError as error:
            assert path.name in str(error)  # noqa: PT017 - all three outcomes are fine
        except MemoryError:
            pass  # a damaged size may be huge; isolated.Decoder says what that means
        else:
            assert clip.frames.shape == (3, 16, 16, 3)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm", ".gif"])
@pytest.mark.parametrize("part", [0.25, 0.5, 0.75, 0.95])
def test_a_truncated_video_is_never_read_as_a_shorter_one(
    tmp_path: Path, suffix: str, part: float
) -> None:
    file = write_video(tmp_path / f"whole{suffix}", 24, faststart=suffix in (".mp4", ".mov"))
    path = tmp_path / f"cut{suffix}"
    whole = file.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(SourceError, match="truncated"):
        decode_clip(path, VideoConfig(num_frames=2, width=16, height=16))
