"""A drawn scene as files: what was drawn, the same bytes each time, and no needless writing."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tinyworld.clips import CLIPS
from tinyworld.draw import render, render_at
from tinyworld.edits import replaced
from tinyworld.encode import FPS, write_clip, write_masks
from tinyworld.scenes import FRAMES, SIZE, Scene, Thing, single

LONE = single(color="red", shape="fish", background="sea", seed=7)
PAIR = Scene(
    things=(Thing(color="red", shape="fish"), Thing(color="blue", shape="car", motion="rising")),
    background="road",
    camera="zooming in",
    seed=4,
)


@pytest.mark.parametrize("scene", [*CLIPS.values(), PAIR], ids=[*CLIPS, "zoom"])
def test_the_mp4_plays_what_was_drawn(tmp_path: Path, scene: Scene) -> None:
    write_clip(scene, tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == FPS
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    drawn = render(scene).frames.repeat(2, axis=1).repeat(2, axis=2)
    assert np.shape(decoded) == (FRAMES, 2 * SIZE, 2 * SIZE, 3)
    error = np.mean((np.asarray(decoded, np.float64) - drawn) ** 2)
    assert 10 * np.log10(255**2 / error) > 30


def test_a_clip_that_is_there_is_left_alone_and_another_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_clip(LONE, path)
    made, written = path.read_bytes(), path.stat().st_mtime_ns
    write_clip(LONE, path)
    assert path.stat().st_mtime_ns == written
    write_clip(PAIR, path)
    assert path.read_bytes() != made
    assert [one.name for one in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("scene", [LONE, PAIR], ids=["one", "two"])
def test_masks_are_where_things_are_drawn(tmp_path: Path, scene: Scene) -> None:
    write_masks(scene, tmp_path / "masks")
    files = sorted((tmp_path / "masks").iterdir())
    assert [path.name for path in files] == [f"{at:05}.png" for at in range(FRAMES)]
    masks = np.stack([np.asarray(Image.open(path)) for path in files])
    clip = render(scene)
    assert not (clip.masks.any(axis=1) & ~masks).any()
    ground = render_at(scene, np.linspace(0, 1, FRAMES), empty=True)
    assert np.array_equal(clip.frames[~masks], ground.frames[~masks]), "nothing of them is outside"
    assert (clip.frames != ground.frames).any(axis=-1)[masks].all(), "and nothing else inside"
    assert masks.sum() < 2 * clip.masks.sum()


def test_masks_have_room_for_what_is_asked_for(tmp_path: Path) -> None:
    edited = replaced(LONE, 0, "shape", "star")
    for name, more in (("a", ()), ("b", (edited,)), ("c", (LONE,))):
        write_masks(LONE, tmp_path / name, edited=more)
    write_masks(edited, tmp_path / "d")
    a, b, c, d = (
        np.stack([np.asarray(Image.open(path)) for path in sorted((tmp_path / name).iterdir())])
        for name in "abcd"
    )
    assert np.array_equal(b, a | d)
    assert np.array_equal(c, a)
    assert (b & ~a).any()


def test_masks_that_are_there_are_left_alone(tmp_path: Path) -> None:
    write_masks(LONE, tmp_path)
    first, other = sorted(tmp_path.iterdir())[:2]
    before = first.stat().st_mtime_ns
    other.write_bytes(b"half")
    write_masks(LONE, tmp_path)
    assert first.stat().st_mtime_ns == before
    assert other.read_bytes() != b"half"
