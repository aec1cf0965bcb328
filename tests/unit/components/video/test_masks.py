"""Masks: what is the object, where it lies in the clip, and what is no mask of a video."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from components.config import VideoConfig, VideoLimits
from components.errors import SourceError
from components.video.io import decode_frames
from components.video.isolated import Decoder
from components.video.masks import check_marks, check_mask, check_names, decode_mask
from components.video.read import Probe, probe
from tests.sample_videos import write_folder, write_video

VIDEO = VideoConfig(num_frames=3, width=64, height=48)
BOX = (slice(8, 24), slice(16, 40))
DAVIS = [0, 0, 0, 128, 0, 0, 0, 128, 0, 64, 0, 0]
"""The first colours of the data set's own palette, none of them bright, and of a later one."""


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    made = Decoder()
    yield made
    made.close()


def box(height: int = 48, width: int = 64, value: int = 255) -> Any:
    """(H, W) uint8: a box on black."""
    found = np.zeros((height, width), np.uint8)
    found[BOX] = value
    return found


def of_palette(indices: Any, palette: Sequence[int] = DAVIS) -> Image.Image:
    image = Image.fromarray(indices, mode="P")
    image.putpalette(list(palette))
    return image


def folder_of(folder: Path, *images: Image.Image, suffix: str = "png", **options: Any) -> Path:
    folder.mkdir()
    for index, image in enumerate(images):
        image.save(folder / f"{index:05d}.{suffix}", **options)
    return folder


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(box()),
        Image.fromarray(box()).convert("1"),
        Image.fromarray(box()).convert("RGB"),
        Image.fromarray(box()).convert("RGBA"),
        Image.fromarray(np.stack([box(value=128), 0 * box(), 0 * box()], axis=-1)),
        of_palette(box(value=1)),
        of_palette(box(value=2)),
        of_palette(box(value=3)),
        of_palette(box(value=1), [0, 0, 0, 1, 1, 1]),
    ],
    ids=["L", "1", "RGB", "RGBA", "dark red", "index 1", "index 2", "index 3", "black-grey"],
)
def test_white_is_the_object_and_any_index_but_0(tmp_path: Path, image: Image.Image) -> None:
    mask = decode_mask(folder_of(tmp_path / "m", *[image] * 3), (0, 2), VIDEO)
    assert mask.dtype == np.bool_
    assert mask.shape == (2, 48, 64)
    assert np.array_equal(mask[0], box() > 0)
    assert np.array_equal(mask[1], mask[0])


def test_levels_are_cut_between_127_and_128(tmp_path: Path) -> None:
    images = [Image.fromarray(box(value=value)) for value in (127, 128)]
    mask = decode_mask(folder_of(tmp_path / "m", *images), (0, 1), VIDEO)
    assert mask.sum(axis=(1, 2)).tolist() == [0, (box() > 0).sum()]


def test_pictures_with_loss_and_videos_are_cut_where_their_object_is(tmp_path: Path) -> None:
    pictures = [Image.fromarray(box())] * 3
    lossy = folder_of(tmp_path / "m", *pictures, suffix="jpg", quality=60)
    frames = np.repeat(box()[None, :, :, None], 3, axis=0).repeat(3, axis=-1)
    video = write_video(tmp_path / "m.mp4", frames)
    for path in (lossy, video):
        assert np.array_equal(decode_mask(path, (0, 1, 2), VIDEO), [box() > 0] * 3)


def test_a_picture_on_its_side_is_turned_with_its_indices(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    for image in (Image.fromarray(box()), of_palette(box(value=1))):
        path = folder_of(tmp_path / image.mode, image, exif=exif)
        found = probe(path)
        assert (found.width, found.height) == (48, 64)
        upright = dataclasses.replace(VIDEO, width=48, height=64)
        assert np.array_equal(decode_mask(path, (0,), upright)[0], np.rot90(box() > 0, -1))


@given(
    size=st.tuples(st.integers(2, 60), st.integers(2, 60)),
    sides=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    fit=st.sampled_from(["crop", "pad", "stretch"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=30, deadline=None)
def test_a_mask_lies_where_its_object_does_in_the_clip(
    size: tuple[int, int], sides: tuple[int, int], fit: Any, seed: int
) -> None:
    """Of a white object on black the clip itself says where it is; palettes say the same."""
    shape = np.random.default_rng(seed).integers(0, 2, (size[1], size[0])).astype(np.uint8)
    video = VideoConfig(num_frames=1, width=8 * sides[0], height=8 * sides[1], fit=fit)
    with tempfile.TemporaryDirectory() as folder:
        white = folder_of(Path(folder, "white"), Image.fromarray(255 * shape))
        indexed = folder_of(Path(folder, "indexed"), of_palette(shape))
        clip = decode_frames(white, (0,), video)
        assert np.array_equal(decode_mask(white, (0,), video), clip[..., 0] > 127)
        assert np.array_equal(decode_mask(indexed, (0,), video), clip[..., 0] > 127)


def test_bars_are_background(tmp_path: Path) -> None:
    full = Image.new("L", (64, 16), 255)
    video = dataclasses.replace(VIDEO, fit="pad")
    (mask,) = decode_mask(folder_of(tmp_path / "m", full), (0,), video)
    assert mask[16:32].all()
    assert not mask[:16].any()
    assert not mask[32:].any()


@pytest.mark.parametrize(
    ("palette", "words"),
    [
        ([255, 255, 255, 0, 0, 0], r"m/00001\.png .*index 0 is \(255, 255, 255\), .*save it as"),
        ([0, 0, 0, 0, 0, 0], r"index 1 is \(0, 0, 0\), but index 0 alone is black"),
    ],
)
def test_palettes_that_do_not_say_which_is_the_background_are_refused(
    tmp_path: Path, palette: list[int], words: str
) -> None:
    good, bad = of_palette(box(value=1)), of_palette(box(value=1), palette)
    path = folder_of(tmp_path / "m", good, bad)
    assert decode_mask(path, (0,), VIDEO).any()
    with pytest.raises(SourceError, match=words):
        decode_mask(path, (0, 1), VIDEO)


SOURCE = Probe(num_frames=12, fps=24, width=1920, height=1080)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"width": 854, "height": 480}, ""),
        ({"width": 960, "height": 540}, ""),
        ({"num_frames": 11}, r"has 11 frames, but its video has 12: give one for each frame"),
        ({"num_frames": 13}, r"has 13 frames, but its video has 12"),
        ({"width": 1080, "height": 1920}, r"is 1080×1920, but its video is 1920×1080: give it the"),
        ({"width": 640, "height": 480}, r"is 640×480, but its video is 1920×1080"),
        ({"reading": ("alpha",)}, r"is transparent in places, but 0 such .*save it opaque"),
    ],
    ids=str,
)
def test_a_mask_has_its_videos_frames_and_shape(changes: dict[str, Any], words: str) -> None:
    found = dataclasses.replace(SOURCE, **changes)
    if not words:
        check_mask("m", found, SOURCE)
        return
    with pytest.raises(SourceError, match=f"^m {words}"):
        check_mask("m", found, SOURCE)


@pytest.mark.parametrize(
    ("frames", "masks", "words"),
    [
        (("00000.jpg", "00001.jpg"), ("00000.png", "00001.png"), ""),
        (("frame_1.png", "frame_2.png"), ("0.png", "1.png"), ""),
        (("00000.jpg", "00001.jpg"), ("00001.png", "00002.png"), r"1 of its 2 .*'00000' is a fr"),
        (("1.jpg", "2.jpg", "4.jpg"), ("1.png", "3.png", "4.png"), r"1 of its 3 .*'2' is a frame"),
        (("2.jpg", "4.jpg"), ("1.png", "2.png"), r"1 of its 2 .*'1' is a mask and no frame"),
    ],
)
def test_pictures_that_share_names_share_all(
    tmp_path: Path, frames: tuple[str, ...], masks: tuple[str, ...], words: str
) -> None:
    source = write_folder(tmp_path / "source", frames)
    mask = write_folder(tmp_path / "mask", masks)
    check_names("m", mask, write_video(tmp_path / "a.mp4", 3))
    if not words:
        check_names("m", mask, source)
        return
    with pytest.raises(SourceError, match=rf"m names {words}.*: name each as its frame"):
        check_names("m", mask, source)


def test_a_mask_parts_something_but_not_in_every_frame() -> None:
    mask = np.zeros((3, 4, 5), np.bool_)
    with pytest.raises(SourceError, match=r"m marks 0 pixels in all 3 frames .*at least 1 .*mend"):
        check_marks("m", mask)
    mask[0] = True
    check_marks("m", mask)
    mask[1:] = True
    with pytest.raises(SourceError, match=r"m marks every pixel in all 3 frames .*\(60\).*leave"):
        check_marks("m", mask)
    mask[2, 3, 4] = False
    check_marks("m", mask)


def test_the_process_that_decodes_gives_the_same(decoder: Decoder, tmp_path: Path) -> None:
    path = folder_of(tmp_path / "m", *[of_palette(box(value=1))] * 4)
    found = decoder.mask(path, (1, 3), VIDEO)
    assert found.dtype == np.bool_
    assert np.array_equal(found, decode_mask(path, (1, 3), VIDEO))
    assert decoder.probe(path, VIDEO) == probe(path)
    video = write_video(tmp_path / "m.mp4", 5)
    assert decoder.probe(video, VIDEO) == probe(video)
    with pytest.raises(SourceError, match=r"m\.mp4 has 5 frames, but the limit is 4"):
        decoder.probe(video, dataclasses.replace(VIDEO, limits=VideoLimits(frames=4)))
