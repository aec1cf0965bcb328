"""The demo's clips, drawn by a program: ``python -m tinyworld.clips OUT`` writes them as mp4."""

from __future__ import annotations

import argparse
import filecmp
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

SIZE = 128
"""Width and height in pixels."""
FRAMES = 24
FPS = 8

_FINE = 4
"""Shapes are drawn this many times larger and averaged down, so that edges are smooth."""

Color = tuple[int, int, int]
Painter = Callable[[ImageDraw.ImageDraw, float], None]
"""Draws the moving object on a canvas of ``SIZE * _FINE`` pixels at a time in 0 to 1."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip: an object that moves over a still, textured background."""

    name: str
    caption: str
    background: Callable[[], Image.Image]
    paint: Painter


def render(clip: Clip) -> list[npt.NDArray[np.uint8]]:
    """Draw a clip's ``FRAMES`` frames, each (``SIZE``, ``SIZE``, 3) RGB in 0 to 255."""
    background = clip.background()
    frames: list[npt.NDArray[np.uint8]] = []
    for index in range(FRAMES):
        frame = background.copy()
        clip.paint(ImageDraw.Draw(frame), index / (FRAMES - 1))
        frames.append(np.asarray(frame.resize((SIZE, SIZE), Image.Resampling.BOX)))
    return frames


def write_clips(folder: Path) -> list[Path]:
    """Write every clip as ``<name>.mp4`` and return the files; equal bytes each time.

    A file that holds these bytes already is left alone, so that its time of change stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for clip in CLIPS:
        path, fresh = folder / f"{clip.name}.mp4", folder / f".{clip.name}.mp4"
        _encode(render(clip), fresh)
        if path.exists() and filecmp.cmp(path, fresh, shallow=False):
            fresh.unlink()
        else:
            fresh.replace(path)
        paths.append(path)
    return paths


def _encode(frames: Iterable[npt.NDArray[np.uint8]], path: Path) -> None:
    """Encode as H.264, yuv420p, which every browser plays."""
    import av  # noqa: PLC0415 - drawing alone needs no FFmpeg

    # One thread and no muxer timestamps: the same bytes on every machine with this FFmpeg.
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "12", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _noise(seed: int, cell: int, *, stretch: int = 1) -> npt.NDArray[np.float64]:
    """Smooth noise in −1 to 1 on the fine canvas, with blobs of ``cell`` output pixels."""
    fine = SIZE * _FINE
    rows, columns = SIZE // cell + 1, SIZE // (cell * stretch) + 1
    coarse = np.random.default_rng(seed).integers(0, 256, (rows, columns), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((fine, fine), Image.Resampling.BICUBIC)
    return np.asarray(smooth, dtype=np.float64) / 127.5 - 1


def _gradient(
    top: Color, bottom: Color, texture: npt.NDArray[np.float64], strength: float
) -> Image.Image:
    """A vertical gradient whose brightness follows a texture by ``strength`` grey levels."""
    down = np.linspace(0, 1, SIZE * _FINE)[:, None, None]
    colors = np.array(top) * (1 - down) + np.array(bottom) * down
    return Image.fromarray(
        np.clip(colors + strength * texture[:, :, None], 0, 255).astype(np.uint8)
    )


def _sea() -> Image.Image:
    waves = 0.7 * _noise(1, 4, stretch=4) + 0.3 * _noise(2, 2, stretch=3)
    return _gradient((72, 176, 214), (10, 62, 128), waves, 26)


def _grass() -> Image.Image:
    blades = 0.6 * _noise(3, 8) + 0.4 * np.rot90(_noise(4, 2, stretch=3))
    meadow = _gradient((120, 184, 72), (46, 118, 40), blades, 30)
    draw = ImageDraw.Draw(meadow)
    flowers = np.random.default_rng(5).integers(4, SIZE - 4, (26, 2)) * _FINE
    for x, y in flowers.tolist():
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=(250, 246, 214))
    return meadow


def _night() -> Image.Image:
    sky = _gradient((10, 10, 46), (62, 40, 104), _noise(6, 24), 12)
    draw = ImageDraw.Draw(sky)
    rng = np.random.default_rng(7)
    for x, y in (rng.integers(2, SIZE - 2, (48, 2)) * _FINE).tolist():
        radius = int(rng.integers(1, 4))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(214, 214, 240))
    hills = [(x, SIZE * 0.86 - 9 * math.sin(x / 21) - 4 * math.sin(x / 8)) for x in range(SIZE + 1)]
    outline = [(x * _FINE, y * _FINE) for x, y in [(0, SIZE), *hills, (SIZE, SIZE)]]
    draw.polygon(outline, fill=(16, 22, 40))
    return sky.filter(ImageFilter.GaussianBlur(1))


def _at(x: float, y: float, points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points around (x, y), from output pixels to the fine canvas."""
    return [((x + dx) * _FINE, (y + dy) * _FINE) for dx, dy in points]


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: Color) -> None:
    draw.ellipse(_at(x, y, [(-radius, -radius), (radius, radius)]), fill=fill)


def _fish(draw: ImageDraw.ImageDraw, time: float) -> None:
    x, y = 36 + 64 * time, 62 + 10 * math.sin(2 * math.pi * time)
    wag = 6 * math.sin(10 * math.pi * time)
    tail = [(-16, 0), (-34, -15 + wag), (-29, wag), (-34, 15 + wag)]
    draw.polygon(_at(x, y, tail), fill=(188, 26, 34))
    draw.polygon(_at(x, y, [(-8, -12), (6, -24), (10, -10)]), fill=(188, 26, 34))
    draw.ellipse(_at(x, y, [(-23, -15), (23, 15)]), fill=(226, 44, 44))
    draw.ellipse(_at(x, y, [(-15, 3), (15, 14)]), fill=(246, 122, 92))
    draw.polygon(_at(x, y, [(-4, 0), (-13, 7 + wag / 2), (-3, 7)]), fill=(188, 26, 34))
    _disc(draw, x + 13, y - 4, 4, (255, 255, 255))
    _disc(draw, x + 14, y - 4, 2, (20, 20, 24))


def _car(draw: ImageDraw.ImageDraw, time: float) -> None:
    x, y = 92 - 58 * time, 80 - 1.2 * abs(math.sin(6 * math.pi * time))
    draw.ellipse(_at(x, 98, [(-34, -4), (34, 5)]), fill=(40, 92, 36))
    draw.polygon(_at(x, y, [(-16, -8), (-8, -24), (14, -24), (24, -8)]), fill=(214, 160, 10))
    draw.polygon(_at(x, y, [(-11, -9), (-6, -20), (2, -20), (2, -9)]), fill=(176, 222, 240))
    draw.polygon(_at(x, y, [(5, -9), (5, -20), (12, -20), (18, -9)]), fill=(176, 222, 240))
    body = [value for point in _at(x, y, [(-33, -9), (33, 11)]) for value in point]
    draw.rounded_rectangle(body, radius=6 * _FINE, fill=(248, 204, 30))
    _disc(draw, x - 30, y, 2.5, (255, 250, 214))
    for wheel in (-18, 18):
        _disc(draw, x + wheel, y + 11, 8, (30, 30, 34))
        _disc(draw, x + wheel, y + 11, 3.5, (196, 196, 204))
        turn = -time * 58 / 8
        spoke = (6 * math.cos(turn), 6 * math.sin(turn))
        line = _at(x + wheel, y + 11, [spoke, (-spoke[0], -spoke[1])])
        draw.line(line, fill=(196, 196, 204), width=_FINE)


def _star(draw: ImageDraw.ImageDraw, time: float) -> None:
    x, y = 64 + 14 * math.sin(math.pi * time), 98 - 62 * time
    turn = -math.pi / 2 + 0.6 * time
    for scale, color in ((1.0, (42, 110, 226)), (0.62, (128, 192, 255))):
        tips = [
            (radius * scale * math.cos(angle), radius * scale * math.sin(angle))
            for index in range(10)
            for radius, angle in [((25, 11)[index % 2], turn + index * math.pi / 5)]
        ]
        draw.polygon(_at(x, y, tips), fill=color)


CLIPS = (
    Clip("fish", "a red fish is swimming over the sea", _sea, _fish),
    Clip("car", "a yellow car is driving over the grass", _grass, _car),
    Clip("star", "a blue star is rising in the night sky", _night, _star),
)


def main() -> None:
    """Write the clips and say where they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the mp4 files")
    options = parser.parse_args()
    for path in write_clips(options.out):
        print(path)


if __name__ == "__main__":
    main()
