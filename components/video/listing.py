"""Which of the files below a folder are videos: a matter of their names alone.

Downloaders leave thumbnails, subtitles and descriptions beside their clips: these are no videos,
and are told.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import PurePosixPath

from components.video.containers import CONTAINERS
from components.video.frame_sets import (
    hold_frames,
    is_picture,
    named_after,
    natural_key,
    some_names,
)

_UNFINISHED = (".part", ".crdownload", ".ytdl", ".aria2", ".download", ".partial", ".tmp")
"""What browsers and downloaders put beside a file, or end its name in, until it is whole."""
_KINDS = 6


@dataclass(frozen=True, slots=True)
class Listing:
    """The videos below a folder. Names are relative to it."""

    files: tuple[str, ...]
    """Video files."""
    folders: tuple[str, ...]
    """Folders of frames; ``""`` is the folder itself."""
    remarks: tuple[str, ...]
    """What the user should know of the files that are no videos."""


def find_videos(names: Iterable[str]) -> Listing:
    """Tell the videos among the files below a folder.

    A video is a file with a known suffix that is no download under way, or a folder that directly
    holds numbered pictures and no video file. Pictures named after the videos are their thumbnails,
    wherever they lie. Where there is nothing else, pictures without a number make a folder a video,
    too.

    Args:
        names: Of all files, relative to the folder and parted by slashes; none that is hidden.
    """
    shown = sorted(names, key=natural_key)
    whole, unfinished = _whole_files(shown)
    pictures: dict[str, list[str]] = defaultdict(list)
    for name in shown:
        if is_picture(name):
            folder, _, last = name.rpartition("/")
            pictures[folder].append(last)
    for folder in {_parent(name) for name in (*whole, *unfinished)}:
        pictures.pop(folder, None)
    folders = _frame_folders(pictures, whole)
    if not whole and not folders:
        folders = list(pictures)
    kept = {*whole, *unfinished}
    inside = set(folders)
    others = [name for name in shown if name not in kept and _parent(name) not in inside]
    return Listing(tuple(whole), tuple(folders), (*_told(others), *_told_unfinished(unfinished)))


def _whole_files(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The video files, and those beside which a mark says that they are not whole yet."""
    known = set(names)
    whole: list[str] = []
    unfinished: list[str] = []
    for name in names:
        if PurePosixPath(name).suffix.lower() in CONTAINERS:
            marked = any(f"{name}{mark}" in known for mark in _UNFINISHED)
            (unfinished if marked else whole).append(name)
    return whole, unfinished


def _frame_folders(pictures: Mapping[str, Sequence[str]], files: Sequence[str]) -> list[str]:
    """The folders whose pictures are frames and no thumbnails of other videos."""
    likely = [folder for folder, names in pictures.items() if hold_frames(names)]
    titles: dict[str, set[str]] = defaultdict(set)  # of the video files directly in each folder
    for name in files:
        titles[_parent(name)].add(PurePosixPath(name).stem)
    below: dict[str, set[str]] = defaultdict(set)  # of the folders of frames directly in each
    for folder in filter(None, likely):
        below[_parent(folder)].add(PurePosixPath(folder).name)
    everywhere = set[str]().union(*titles.values())
    return [
        folder
        for folder in likely
        if not any(
            _cover(pictures[folder], some)
            for some in (below[folder], titles[_parent(folder)], everywhere)
        )
    ]


def _cover(pictures: Sequence[str], titles: AbstractSet[str]) -> bool:
    """Whether pictures are named after other videos, one each, and after most of these."""
    return len(named_after(pictures, titles, exactly=True)) * 2 > len(titles)


def _parent(name: str) -> str:
    return name.rpartition("/")[0]


def _told(others: Sequence[str]) -> list[str]:
    if not others:
        return []
    kinds = Counter(PurePosixPath(name).suffix.lower() or "without a suffix" for name in others)
    counts = [f"{count} {kind}" for kind, count in kinds.most_common(_KINDS)]
    listed = ", ".join(counts) + (", …" if len(kinds) > _KINDS else "")
    return [
        f"{len(others)} file(s) that are no videos are left out ({some_names(others)}): {listed}"
    ]


def _told_unfinished(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    what = f"{len(names)} video(s) are still being downloaded and left out ({some_names(names)})"
    return [f"{what}: run again when they are whole, or remove what lies beside them"]
