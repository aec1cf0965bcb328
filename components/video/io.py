"""Source videos to clips of frames, and frames to mp4 or PNG files.

A video is decoded twice, once to count its frames and once to keep the selected ones, so memory
holds the clip and never the video. Frames are scaled by swscale BILINEAR, as in the official code
(showlab/Tune-A-Video reads with decord, which uses it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.config import FPS_RANGE, VideoConfig, VideoLimits
from components.video.display import SourceFrame
from components.video.limits import check_limit
from components.video.pictures import read_picture
from components.video.read import Probe, probe, read_frames
from components.video.selection import select

if TYPE_CHECKING:
    import av
    import numpy as np
    from numpy.typing import NDArray

    from components.video.folder import ReadPicture

    Frames = NDArray[np.uint8]
    """(F, H, W, 3), uint8, RGB."""

__all__ = [
    "Clip",
    "Probe",
    "check_clip",
    "decode_clip",
    "decode_frames",
    "encode_mp4",
    "probe",
    "read_mp4_frames",
    "write_png_frames",
]

MAX_CLIP_PIXELS = 1 << 30
"""Pixels of all frames of a clip held in memory at once: 3 GiB."""
_MAX_FPS_DENOMINATOR = 1001
"""Broadcast rates are n·1000/1001: 29.97 is written as 30000/1001 exactly."""
_OWN_LIMITS = VideoLimits(duration=1e9)
"""Of the run's own videos: clips of slow or long sources play for long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """The frames of a video that are tuned on and edited."""

    frames: Frames
    """(F, H, W, 3), uint8, RGB."""
    fps: float
    """The source's frames per second."""
    frame_indices: tuple[int, ...]
    """Which frames of the source these are (0-based, ascending)."""
    source: Probe | None = None
    """What the whole source holds; none when known frames of it were read."""
    true_fps: float | None = None
    """The rate at which the clip plays as fast as the source moves; none likewise."""


def decode_clip(path: Path, video: VideoConfig) -> Clip:
    """Decode the selected frames of a video at the clip's size.

    Args:
        path: A video file or a folder of frames (docs/sources.md).
        video: Frame selection, size and fit.

    Raises:
        SourceError: the source is missing, unsupported, damaged, over a limit, or too short.
        MemoryError: it asks for more memory than there is, as damaged sizes may.
    """
    found = probe(path, video.limits, video.fps)
    chosen = select(found, video, path.name)
    reading = {*found.reading, "time"} if chosen.by_time else found.reading
    return Clip(
        frames=decode_frames(path, chosen.indices, video),
        fps=found.fps,
        frame_indices=chosen.indices,
        source=replace(found, reading=tuple(sorted(reading))),
        true_fps=chosen.true_fps,
    )


def decode_frames(
    path: Path,
    indices: Sequence[int],
    video: VideoConfig,
    picture: ReadPicture = read_picture,
) -> Frames:
    """Decode given frames of a video.

    Args:
        path: Video file or folder of frames.
        indices: Ascending, distinct, 0-based.
        video: Its size, fit and limits count; its selection does not.
        picture: Reads each picture of a folder.

    Returns:
        (F, H, W, 3), uint8, RGB.

    Raises:
        SourceError: the source is missing, damaged, over a limit, or shorter than asked.
    """
    import numpy as np

    check_clip(len(indices), video)
    frames = np.zeros((len(indices), video.height, video.width, 3), np.uint8)
    for place, frame in enumerate(read_frames(path, indices, video.limits, picture)):
        _fit_into(frames[place], frame, video, path.name)
    return frames


def check_clip(num_frames: int, video: VideoConfig) -> None:
    """Raise a SourceError when a clip is too large to be held."""
    pixels = num_frames * video.width * video.height
    check_limit("the clip", "pixels", pixels, MAX_CLIP_PIXELS, "lower video.num_frames or the size")


def _fit_into(canvas: Frames, frame: SourceFrame, video: VideoConfig, name: str) -> None:
    """Scale a frame and lay it centred on a black canvas (H, W, 3), cutting what sticks out."""
    height, width, fit = video.height, video.width, video.fit
    new_width, new_height = width, height
    if fit != "stretch":
        shown_width, shown_height = frame.display_size()
        factors = (width / shown_width, height / shown_height)
        factor = max(factors) if fit == "crop" else min(factors)
        bound = max if fit == "crop" else min
        new_width = max(1, bound(width, round(shown_width * factor)))
        new_height = max(1, bound(height, round(shown_height * factor)))
        pixels = new_width * new_height
        remedy = f"its shape is far from {width}×{height}; use video.fit pad or stretch"
        check_limit(name, "pixels when scaled to cover", pixels, video.limits.frame_pixels, remedy)
    upright = frame.scaled(new_width, new_height)
    target, source = _centred(width, new_width), _centred(height, new_height)
    canvas[source[0], target[0]] = upright[source[1], target[1]]


def _centred(canvas: int, content: int) -> tuple[slice, slice]:
    """Along one axis: where on the canvas, and which part of the content."""
    overlap = min(canvas, content)
    on, of = (canvas - overlap) // 2, (content - overlap) // 2
    return slice(on, on + overlap), slice(of, of + overlap)


def encode_mp4(
    path: Path, frames: Frames, *, fps: float, crf: int, coded_fps: float | None = None
) -> None:
    """Write frames as h264 yuv420p mp4 that starts playing before it is loaded.

    Equal frames give equal bytes with one build of PyAV. Colours are BT.709, limited range, tagged.

    Args:
        path: The mp4 file.
        frames: (F, H, W, 3), uint8, RGB; H and W even.
        fps: Frames per second, within ``FPS_RANGE``; of it or, below 1, of a frame's seconds the
            nearest fraction with a denominator up to 1001 is taken.
        crf: x264 quality; 0 is lossless, which few browsers play.
        coded_fps: The rate that x264 is told, which spends more on frames that show for longer:
            pictures depend on it and not on ``fps``. None is ``fps``.

    Raises:
        ValueError: wrong shape or type, no frames, odd size, or a rate out of range.
    """
    import av

    rate, coded = _rate(fps), _rate(fps if coded_fps is None else coded_fps)
    _check_frames(frames)
    _, height, width, _ = frames.shape
    if height % 2 or width % 2:
        raise ValueError(f"frames are {width}×{height}, but yuv420p needs even sizes: crop or pad")
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream: Any = container.add_stream("libx264", rate=coded)
        stream.time_base = 1 / rate
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.thread_count = 1  # with several, the bytes depend on the machine
        # Of narrow clips mbtree reads memory that nobody wrote: the bytes would be left to chance.
        context.options = {"crf": str(crf), "preset": "medium", "mbtree": "0"}
        context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
        context.color_range = 1  # limited
        for frame in (*map(_yuv_frame, frames), None):
            for packet in stream.encode(frame):
                packet.time_base, packet.duration = 1 / rate, 1
                container.mux(packet)


def _rate(fps: float) -> Fraction:
    lowest, highest = FPS_RANGE
    if not lowest <= fps <= highest:
        raise ValueError(f"fps is {fps}, but a rate of {lowest:g} to {highest:g} is needed")
    if fps < 1:
        return 1 / Fraction(1 / fps).limit_denominator(_MAX_FPS_DENOMINATOR)
    return Fraction(fps).limit_denominator(_MAX_FPS_DENOMINATOR)


def _yuv_frame(frame: Frames) -> av.VideoFrame:
    import av
    from av.video.reformatter import Interpolation

    return av.VideoFrame.from_ndarray(frame, "rgb24").reformat(
        format="yuv420p",
        dst_colorspace="ITU709",
        dst_color_range="MPEG",
        interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND,
        threads=1,
    )


def read_mp4_frames(path: Path) -> Frames:
    """Read all frames of one of the run's own videos at its own size.

    Colours are converted with rounding: the plain BILINEAR that sources are read with, as the
    official code does, darkens by one grey level.

    Returns:
        (F, H, W, 3), uint8, RGB.

    Raises:
        SourceError: the file is missing, damaged, or over a limit.
    """
    import numpy as np
    from av.video.reformatter import Interpolation

    found = probe(path, _OWN_LIMITS)
    pixels = found.num_frames * found.width * found.height
    check_limit(path.name, "pixels", pixels, MAX_CLIP_PIXELS, "it does not fit into memory")
    exact = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    frames = np.empty((found.num_frames, found.height, found.width, 3), np.uint8)
    for place, frame in enumerate(read_frames(path, range(found.num_frames), _OWN_LIMITS)):
        frames[place] = frame.image.reformat(
            width=found.width, height=found.height, format="rgb24", interpolation=exact, threads=1
        ).to_ndarray()
    return frames


def write_png_frames(folder: Path, frames: Frames) -> list[Path]:
    """Write frames as ``00000.png``, ``00001.png``, …, lossless; return the files in order.

    Args:
        folder: Made if absent.
        frames: (F, H, W, 3), uint8, RGB.

    Raises:
        ValueError: wrong shape or type, or no frames.
    """
    from PIL import Image

    _check_frames(frames)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{index:05d}.png" for index in range(len(frames))]
    for file, frame in zip(files, frames, strict=True):
        Image.fromarray(frame).save(file, "PNG")
    return files


def _check_frames(frames: Frames) -> None:
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != "uint8" or not len(frames):  # noqa: PLR2004
        raise ValueError(
            f"frames are {frames.dtype}{list(frames.shape)}, but uint8 [F, H, W, 3] with F ≥ 1 is "
            "needed"
        )
