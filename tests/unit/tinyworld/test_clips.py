"""The demo's clips: playable, moving, and the same bytes each time."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import yaml

from tinyworld.clips import CLIPS, FPS, FRAMES, SIZE, Clip, render, write_clips

ROOT = Path(__file__).parents[3]


def test_the_same_bytes_each_time(tiny_clips: Path, tmp_path: Path) -> None:
    for path in write_clips(tmp_path):
        assert path.read_bytes() == (tiny_clips / path.name).read_bytes()


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.name)
def test_the_mp4_plays_what_was_drawn(tiny_clips: Path, clip: Clip) -> None:
    with av.open(str(tiny_clips / f"{clip.name}.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == FPS
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    drawn = render(clip)
    assert np.shape(decoded) == (FRAMES, SIZE, SIZE, 3)
    error = np.mean((np.asarray(decoded, np.float64) - np.asarray(drawn, np.float64)) ** 2)
    assert 10 * np.log10(255**2 / error) > 30


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.name)
def test_the_object_moves_and_the_background_rests(clip: Clip) -> None:
    frames = np.asarray(render(clip), np.float64)
    changed = np.abs(frames[0] - frames[-1]).max(axis=-1) > 20
    assert 0.05 < changed.mean() < 0.5
    assert np.ptp(frames[:, 0], axis=0).max() == 0, "the first row is background only"
    steps = np.abs(np.diff(frames, axis=0)).max(axis=(1, 2, 3))
    assert (steps > 20).all(), "it rests between two frames"


def test_the_manifest_edits_every_clip_in_three_ways(tiny_clips: Path) -> None:
    path = ROOT / "manifests/datasets/demo.yaml"
    videos = yaml.safe_load(path.read_text())["videos"]
    captions = {clip.name: clip.caption for clip in CLIPS}
    assert {video["id"] for video in videos} == set(captions)
    for video in videos:
        folder, name = (path.parent / video["uri"]).resolve().parent, Path(video["uri"]).name
        assert folder == ROOT / "runs/demo-assets/clips"
        assert (tiny_clips / name).is_file()
        assert video.get("prompt", captions[video["id"]]) == captions[video["id"]]
        categories = [edit["category"] for edit in video["edits"]]
        assert categories == ["object", "background", "style"]
    assert any("prompt" not in video for video in videos), "BLIP-2 has nothing to do"
