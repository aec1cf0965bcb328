"""The ingest step: read a source video, check it, hash it, and commit what its clip is."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from components.config import VideoConfig, VideoLimits
from components.errors import ItemError, SourceError
from components.log import VideoLog
from components.records.keys import content_key
from components.records.provenance import provenance
from components.steps.step import ItemWorker, Outcome
from components.storage.address import digest_name
from components.storage.scratch import scratch_folder
from components.storage.store import file_sha256
from components.storage.tables import Row
from components.video.io import Clip, encode_mp4
from components.video.isolated import decoder
from components.video.masks import check_marks, check_mask, check_names, mask_error
from components.video.read import READING_VERSION
from components.video.selection import playing_fps
from components.video.sources import fetch_source, source_sha256

if TYPE_CHECKING:
    from components.video.masks import Masks

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class IngestItem:
    """One source to read."""

    item_key: str
    video_id: str
    uri: str
    source_version: str
    """See ``sources.SourceInfo``."""
    video: dict[str, Any]
    """The fields of the ``VideoConfig`` that applies to this video, but for the run's limits."""
    mask_uri: str | None = None
    """Of the mask; none where the manifest names none."""
    mask_version: str | None = None
    attempt: int


class IngestWorker(ItemWorker):
    """Reads sources one by one; needs no model."""

    step = "ingest"
    table = "videos"
    identity = MappingProxyType({"video_id": "video_id", "source_version": "source_version"})

    @override
    def _outcomes(self, items: Sequence[IngestItem]) -> Iterator[Outcome]:
        for item in items:
            yield self._attempt(item, partial(self._ingest, item))

    def _ingest(self, item: IngestItem) -> None:
        started = time.perf_counter()
        log = VideoLog(logger, step="ingest", video_id=item.video_id)
        with self._scratch() as folder:
            limits = self._context.config.video.limits
            video = VideoConfig(**(item.video | {"limits": limits}))
            path = fetch_source(item.uri, folder, limits, tell=log.warning)
            sha256 = source_sha256(path)
            clip = self._decode(path, video)
            row = _video_row(item, video, clip, sha256)
            for remark in clip.source.remarks if clip.source else ():
                log.warning(remark)
            if item.mask_uri is not None:
                mask = _fetch_mask(item.mask_uri, folder, video.limits, log.warning)
                row["mask_sha256"] = _checked_mask(item.mask_uri, mask, path, clip, video)
            row |= self._write_preview(row, clip, folder / "preview.mp4")
        row |= provenance(config_hash=self._context.config_hash, device="cpu", started=started)
        self._writer.add("videos", row)
        log.debug("%d of %d frames", row["num_frames"], row["source_frames"])

    def _write_preview(self, row: Row, clip: Clip, target: Path) -> Row:
        """Write the clip as mp4, for the report; tuning reads the source itself."""
        fps = playing_fps(self._context.config.output, clip.fps, clip.true_fps)
        self._encode(target, clip, fps)
        sha256 = file_sha256(target)
        name = f"media/sources/{row['video_id']}-{row['video_key'][:12]}"
        address = f"{digest_name(name, sha256)}.mp4"
        self._store.write_file(address, target)
        return {"clip_uri": address, "clip_sha256": sha256, "clip_fps": fps}

    def _decode(self, path: Path, video: VideoConfig) -> Clip:
        return decoder().clip(path, video)

    def _encode(self, target: Path, clip: Clip, fps: float) -> None:
        crf = self._context.config.output.crf
        encode_mp4(target, clip.frames, fps=fps, crf=crf, coded_fps=clip.fps)


def video_key(sha256: str, video: VideoConfig, reading: Sequence[str] = ()) -> str:
    """Content key of a clip: the source's bytes, which frames become what, and how it was read.

    Args:
        sha256: See ``sources.source_sha256``.
        video: Frame selection, size and fit.
        reading: See ``Probe.reading``.
    """
    # Of no part without it, so that keys of reading version 1 stay where the clip is the same.
    how = {"reading": list(reading)} if reading else {}
    return content_key(sha256=sha256, video=video, **how)


def _fetch_mask(uri: str, folder: Path, limits: VideoLimits, tell: Callable[[str], object]) -> Path:
    """As ``fetch_source``, beside the video in the same folder."""
    place = folder / "mask"
    place.mkdir()
    with _of_mask():
        return fetch_source(uri, place, limits, lambda remark: tell(f"mask: {remark}"))


def _checked_mask(uri: str, mask: Path, source: Path, clip: Clip, video: VideoConfig) -> str:
    """Read a clip's mask, hold it against the clip's source, and return its SHA-256.

    Raises:
        SourceError: it is damaged, over a limit, or no mask of the clip.
        TransientError: the decoder was stopped.
    """
    assert clip.source is not None  # decode_clip gives it
    with _of_mask():
        sha256 = source_sha256(mask)
        check_mask(uri, decoder().probe(mask, video), clip.source)
        check_names(uri, mask, source)
        check_marks(uri, decoder().mask(mask, clip.frame_indices, video))
    return sha256


@contextmanager
def _of_mask() -> Iterator[None]:
    """Tell that what cannot be read is a mask."""
    try:
        yield
    except ItemError as error:
        raise mask_error(error) from error


def load_mask(row: Row, limits: VideoLimits) -> Masks | None:
    """Read the mask of a ``videos`` row from its source again, frame for frame with its clip.

    Args:
        row: What ``load_clip`` reads, ``mask_uri`` and ``mask_sha256``.
        limits: What reading it may cost.

    Returns:
        (F, H, W), bool, true where the object is; none where the row names no mask.

    Raises:
        SourceError: the mask is gone, damaged, over a limit, or no longer what was ingested.
        TransientError: S3 did not answer, or the decoder was stopped.
    """
    if row["mask_uri"] is None:
        return None
    with _of_mask(), scratch_folder("tav-mask-") as folder:
        path = _fetch_unchanged(row["mask_uri"], row["mask_sha256"], folder, limits)
        return decoder().mask(path, row["frame_indices"], _shape(row, limits))


def load_clip(row: Row, limits: VideoLimits) -> Clip:
    """Read the clip of a ``videos`` row from its source again, frame for frame.

    Args:
        row: Its ``uri``, ``sha256``, ``fps``, ``frame_indices``, ``width``, ``height`` and ``fit``
            are read.
        limits: What reading it may cost.

    Raises:
        SourceError: the source is gone, damaged, over a limit, or no longer what was ingested.
        TransientError: S3 did not answer, or the decoder was stopped.
    """
    with scratch_folder("tav-clip-") as folder:
        path = _fetch_unchanged(row["uri"], row["sha256"], folder, limits)
        indices = tuple(int(index) for index in row["frame_indices"])
        frames = decoder().frames(path, indices, _shape(row, limits))
    return Clip(frames=frames, fps=row["fps"], frame_indices=indices)


def _fetch_unchanged(uri: str, sha256: str, folder: Path, limits: VideoLimits) -> Path:
    """Fetch a source that was ingested.

    Raises:
        SourceError: it is gone, over a limit, or no longer what was ingested.
        TransientError: S3 did not answer.
    """
    path = fetch_source(uri, folder, limits)
    found = source_sha256(path)
    if found != sha256:
        raise SourceError(
            f"{uri} has sha256 {found}, but {sha256} was ingested: it changed; run again, and its "
            "new content is ingested"
        )
    return path


def _shape(row: Row, limits: VideoLimits) -> VideoConfig:
    """What brings frames to a row's clip."""
    size = {name: row[name] for name in ("width", "height", "fit")}
    return VideoConfig(**size, limits=limits)


def _video_row(item: IngestItem, video: VideoConfig, clip: Clip, sha256: str) -> Row:
    source = clip.source
    assert source is not None  # decode_clip gives it
    return {
        "video_key": video_key(sha256, video, source.reading),
        "video_id": item.video_id,
        "uri": item.uri,
        "source_version": item.source_version,
        "sha256": sha256,
        "num_frames": len(clip.frames),
        "source_frames": source.num_frames,
        "fps": clip.fps,
        "source_width": source.width,
        "source_height": source.height,
        "width": video.width,
        "height": video.height,
        "frame_indices": list(clip.frame_indices),
        "fit": video.fit,
        "reading_version": READING_VERSION,
        "reading": list(source.reading),
        "true_fps": clip.true_fps,
        "mask_uri": item.mask_uri,
        "mask_version": item.mask_version,
        "mask_sha256": None,
    }
