"""The clips of a study as local files: the run's own, checked, and noise for attention checks."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from components.errors import SourceError
from components.storage.store import Store
from components.study.design import StudyClip

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CRF = 30
"""Of noise, of which every bit costs: it is noise at any quality."""


class Clips:
    """A folder of clips, each fetched or made when it is first asked for."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder

    def fetch(self, clip: StudyClip) -> Path:
        """A clip of the run.

        Raises:
            SourceError: its row names no digest or no path.
            TransientError: it is gone or is not what the study was made of.
        """
        if not _SHA256.fullmatch(clip.sha256 or ""):
            raise SourceError(f"its row names {clip.sha256!r} as the clip's digest, which is none")
        target = self._folder / f"{clip.sha256}.mp4"
        if not target.exists():
            staged = target.with_suffix(".part")
            try:
                self._store.fetch_checked(clip.path, staged, clip.sha256)
            except ValueError as error:
                raise SourceError(str(error)) from error
            staged.rename(target)
        return target

    def noise(self, source: StudyClip, seed: int) -> Path:
        """A clip of a source's size, length and rate whose every pixel is drawn in each frame.

        Args:
            source: What it stands beside.
            seed: The study's; equal ones give equal clips.

        Raises:
            SourceError: the source cannot be read.
        """
        target = self._folder / f"noise-{source.sha256}.mp4"
        if not target.exists():
            staged = target.with_suffix(".part")
            _write_noise(self.fetch(source), staged, f"{seed}/{source.sha256}")
            staged.rename(target)
        return target


def _write_noise(source: Path, target: Path, key: str) -> None:
    import numpy as np

    from components.config import VideoLimits
    from components.video.io import MAX_CLIP_PIXELS, encode_mp4
    from components.video.limits import check_limit
    from components.video.read import probe

    found = probe(source, VideoLimits(duration=1e9))  # clips of slow sources play for long
    shape = (found.num_frames, found.height, found.width, 3)
    pixels = found.num_frames * found.height * found.width
    check_limit("the source's clip", "pixels", pixels, MAX_CLIP_PIXELS, "give --checks 0")
    rng = np.random.default_rng(list(hashlib.sha256(key.encode()).digest()))
    encode_mp4(target, rng.integers(0, 256, shape, np.uint8), fps=found.fps, crf=_CRF)
