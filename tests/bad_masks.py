"""Masks that cannot be used, each made for a video of 12 frames of 64×48."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests import bad_videos
from tests.sample_videos import write_video

SIZE = (64, 48)


def missing(folder: Path) -> Path:
    return folder / "missing"


def one_frame_short(folder: Path) -> Path:
    return _pictures(folder / "short", Image.new("L", SIZE, 255), 11)


def a_frame_more(folder: Path) -> Path:
    return write_video(folder / "more.mp4", 13)


def of_another_shape(folder: Path) -> Path:
    return _pictures(folder / "wide", Image.new("L", (64, 32), 255))


def on_its_side(folder: Path) -> Path:
    return _pictures(folder / "side", Image.new("L", SIZE[::-1], 255))


def of_nothing(folder: Path) -> Path:
    return _pictures(folder / "empty", Image.new("L", SIZE, 127))


def of_everything(folder: Path) -> Path:
    return _pictures(folder / "full", Image.new("L", SIZE, 128))


def numbered_in_grey(folder: Path) -> Path:
    """Objects as levels 1, 2, …, without a palette: nearly black."""
    return _pictures(folder / "numbered", Image.new("L", SIZE, 1))


def transparent(folder: Path) -> Path:
    return _pictures(folder / "clear", Image.new("LA", SIZE, (255, 0)))


def black_on_white(folder: Path) -> Path:
    """With a palette, whose index 0 is white."""
    image = Image.fromarray(np.zeros(SIZE[::-1], np.uint8), mode="P")
    image.putpalette([255, 255, 255, 0, 0, 0])
    return _pictures(folder / "inverse", image)


def text_as_mp4(folder: Path) -> Path:
    return bad_videos.text_as_mp4(folder)


def image_bomb(folder: Path) -> Path:
    return bad_videos.folder_with_an_image_bomb(folder)


def _pictures(folder: Path, image: Image.Image, count: int = 12) -> Path:
    folder.mkdir()
    for index in range(count):
        image.save(folder / f"{index:05d}.png")
    return folder
