"""Reads folders of frames: pictures that are together one video."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.config import VideoLimits
from components.errors import SourceError
from components.video.frame_sets import choose_frames, natural_key, some_names
from components.video.limits import DEFAULT_LIMITS, check_limit
from components.video.pictures import look_at_picture, read_picture

if TYPE_CHECKING:
    from PIL import Image

    ReadPicture = Callable[[Path, VideoLimits], Image.Image]
    """As ``pictures.read_picture``."""


@dataclass(frozen=True, slots=True)
class FolderLook:
    """What a folder of frames holds; see ``Probe``."""

    num_frames: int
    size: tuple[int, int]
    reading: tuple[str, ...]
    remarks: tuple[str, ...]


def frame_files(
    folder: Path, limits: VideoLimits = DEFAULT_LIMITS
) -> tuple[list[Path], tuple[str, ...]]:
    """The images of a folder that are the clip, and what to tell of the choice.

    Raises:
        SourceError: see ``choose_frames``; or there are too many.
        OSError: the folder cannot be read.
    """
    names = [entry.name for entry in folder.iterdir() if entry.is_file()]
    chosen = choose_frames(folder.name, names)
    check_limit(folder.name, "frames", len(chosen.names), limits.frames, "split it")
    return [folder / name for name in chosen.names], chosen.remarks


def look_at_folder(folder: Path, limits: VideoLimits) -> FolderLook:
    """Judge every picture of a folder of frames by its header, and decode the first.

    Raises:
        SourceError: a picture is damaged, unsupported, of another size, or over a limit.
    """
    files, _ = frame_files(folder, limits)  # what to tell of the choice, `sources` has told
    total = sum(file.stat().st_size for file in files)
    check_limit(folder.name, "bytes", total, limits.file_bytes, "split it, or encode it as mp4")
    looks = [look_at_picture(file, limits) for file in files]
    _check_sizes(files, [look.size for look in looks])
    names = [file.name for file in files]
    reading = set[str]().union(*(look.reading for look in looks))
    if names != sorted(names, key=natural_key):  # version 1's order
        reading.add("order")
    remarks: dict[str, list[str]] = defaultdict(list)
    for file, look in zip(files, looks, strict=True):
        if look.remark:
            remarks[look.remark].append(file.name)
    return FolderLook(
        num_frames=len(files),
        size=read_picture(files[0], limits).size,
        reading=tuple(sorted(reading)),
        remarks=tuple(
            f"{remark} (of {len(names)} frame(s): {some_names(names)})"
            for remark, names in remarks.items()
        ),
    )


def read_folder(
    folder: Path,
    indices: Sequence[int],
    limits: VideoLimits,
    read: ReadPicture = read_picture,
) -> Iterator[Image.Image]:
    """Yield the frames of the given indices, of mode RGB.

    Raises:
        SourceError: a picture is damaged, unsupported or of another size, or there are fewer.
    """
    files, _ = frame_files(folder, limits)
    first: tuple[Path, tuple[int, int]] | None = None
    for index in indices:
        if index >= len(files):
            raise SourceError(
                f"{folder.name} holds {len(files)} frames, but frame {index} is asked for: it "
                "changed since it was probed; run ingest again"
            )
        image = read(files[index], limits)
        first = first or (files[index], image.size)
        _check_sizes([first[0], files[index]], [first[1], image.size])
        yield image


def _check_sizes(files: Sequence[Path], sizes: Sequence[tuple[int, int]]) -> None:
    """Raise a SourceError that names the first picture whose size is not that of most."""
    ((usual, count),) = Counter(sizes).most_common(1)
    for file, size in zip(files, sizes, strict=True):
        if size != usual:
            raise SourceError(
                f"{file.parent.name}/{file.name} is {size[0]}×{size[1]}, but {count} of "
                f"{len(sizes)} frames are {usual[0]}×{usual[1]}: give all frames one size, or move "
                "it away"
            )
