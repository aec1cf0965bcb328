"""The demo's clips: playable, moving, and the same bytes each time."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import yaml

from tinyworld.clips import CLIPS, write_clips
from tinyworld.draw import render
from tinyworld.encode import FPS
from tinyworld.scenes import FRAMES, SIZE, read_caption

ROOT = Path(__file__).parents[3]


def test_the_same_bytes_each_time(tiny_clips: Path, tmp_path: Path) -> None:
    for path in write_clips(tmp_path):
        assert path.read_bytes() == (tiny_clips / path.name).read_bytes()


@pytest.mark.parametrize("name", CLIPS)
def test_the_mp4_plays_what_was_drawn(tiny_clips: Path, name: str) -> None:
    with av.open(str(tiny_clips / f"{name}.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == FPS
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    drawn = render(CLIPS[name]).frames.repeat(2, axis=1).repeat(2, axis=2)
    assert np.shape(decoded) == (FRAMES, 2 * SIZE, 2 * SIZE, 3)
    error = np.mean((np.asarray(decoded, np.float64) - drawn) ** 2)
    assert 10 * np.log10(255**2 / error) > 30


def test_the_manifest_edits_every_clip_in_three_ways(tiny_clips: Path) -> None:
    path = ROOT / "manifests/datasets/demo.yaml"
    videos = yaml.safe_load(path.read_text())["videos"]
    assert {video["id"] for video in videos} == set(CLIPS)
    for video in videos:
        folder, name = (path.parent / video["uri"]).resolve().parent, Path(video["uri"]).name
        assert folder == ROOT / "runs/demo-clips"
        assert (tiny_clips / name).is_file()
        shown = CLIPS[video["id"]].attributes
        assert read_caption(video.get("prompt", CLIPS[video["id"]].caption())) == shown
        categories = [edit["category"] for edit in video["edits"]]
        assert categories == ["object", "background", "style"]
    assert any("prompt" not in video for video in videos), "BLIP-2 has nothing to do"
