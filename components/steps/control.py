"""The control step: maps of each clip that steer its edits, made or read once."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from typing_extensions import override

from components.controls.files import read_maps
from components.controls.keeping import write_maps
from components.controls.maker import (
    FILES,
    Maker,
    make_maker,
    maker_models,
    model_name,
    settings_text,
)
from components.controls.maps import checked
from components.errors import ItemError
from components.log import VideoLog
from components.records.keys import content_key
from components.records.provenance import provenance
from components.steps.step import ItemWorker, Outcome, StepContext
from components.storage.address import digest_name
from components.storage.store import file_sha256
from components.storage.tables import Row
from components.video.io import encode_mp4
from tinyworld.shipped import public_name

if TYPE_CHECKING:
    from components.controls.maps import Maps

logger = logging.getLogger(__name__)


def control_key(video_key: str, maker: str, sha256: str | None = None) -> str:
    """Content key of a clip's map.

    Args:
        video_key: Of the clip.
        maker: What the map depends on beside it (see ``controls.maker.maker_key``).
        sha256: Of maps that were read; they come from nowhere else.
    """
    # Of no part without it: maps that are made have none.
    read = {} if sha256 is None else {"sha256": sha256}
    return content_key(kind="control", video_key=video_key, maker=maker, **read)


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlItem:
    """One map of one clip."""

    item_key: str
    """The map's key; of ``files`` that of their reading (see ``editing.reading_key``)."""
    video_id: str
    video_key: str
    variant: str
    """Whose settings it is made with; others may share it."""
    video_row: Row
    """What leads back to the clip's frames (see ``clips.clip_reference``), and its source's
    ``source_frames``, ``source_width`` and ``source_height``."""
    fps: float
    """At which its preview plays."""
    map: str
    """One of ``config.MAPS``."""
    maker: str
    """See ``controls.maker.maker_key``."""
    source_uri: str | None
    """Of ``files``: where the manifest has them."""
    source_version: str | None
    """See ``sources.SourceInfo``."""
    attempt: int


class ControlWorker(ItemWorker):
    """Loads what makes maps of a kind once, and makes them of video after video."""

    step = "control"
    table = "controls"
    identity = MappingProxyType(
        {name: name for name in ("video_id", "video_key", "maker", "source_version")}
    )

    def __init__(self, context: StepContext) -> None:
        super().__init__(context)
        self._maker: Maker | None = None
        self._name = ""

    @override
    def _outcomes(self, items: Sequence[ControlItem]) -> Iterator[Outcome]:
        for item in items:
            yield self._attempt(item, partial(self._keep, item))

    def _keep(self, item: ControlItem) -> None:
        """Make a map, write its objects, then the row that names them."""
        started = time.perf_counter()
        context = self._context.of(item.variant)
        config = context.config.control
        with self._scratch() as folder:
            sha256 = None
            if item.map == FILES:
                maps, sha256 = self._read(item, folder)
            else:
                maps = self._made(item)
            key = control_key(item.video_key, item.maker, sha256)
            objects = self._write(item, key, maps, folder)
        models = maker_models(config, item.map)
        exact = {name: context.control_revisions[model_name(*one)] for name, one in models.items()}
        row = {
            "control_key": key,
            "video_id": item.video_id,
            "video_key": item.video_key,
            "map": item.map,
            "maker": item.maker,
            "settings": settings_text(config, item.map),
            "model": "+".join(public_name(name) for name, _ in models.values()) or None,
            "model_revision": "+".join(exact.values()) or None,
            "source_uri": item.source_uri,
            "source_version": item.source_version,
            "source_sha256": sha256,
            **objects,
            "num_frames": len(maps),
            **provenance(
                config_hash=context.config_hash,
                device=config.device if models else "cpu",
                started=started,
            ),
        }
        self._writer.add("controls", row)
        log = VideoLog(logger, step=self.step, video_id=item.video_id)
        log.debug("%s of %d frames", item.map, len(maps))

    def _read(self, item: ControlItem, folder: Path) -> tuple[Maps, str]:
        if item.source_uri is None:
            raise ItemError(
                "a net asks for map 'files', but the manifest names no maps of this video: give it "
                "maps (a folder with a picture for each frame), or set another map"
            )
        limits = self._context.config.video.limits
        return read_maps(item.source_uri, item.video_row, folder, limits)

    def _made(self, item: ControlItem) -> Maps:
        from components.steps.ingest import load_clip

        frames = load_clip(item.video_row, self._context.config.video.limits).frames
        if self._maker is None or self._name != item.maker:
            self._maker = None  # two models at once may be too much
            context = self._context.of(item.variant)
            self._maker = make_maker(context.config.control, item.map, context.control_revisions)
            self._name = item.maker
        return checked(item.map, self._maker(frames), frames)

    def _write(self, item: ControlItem, key: str, maps: Maps, folder: Path) -> Row:
        """Store a map and its preview, and return the columns that name them."""
        output = self._context.config.output
        path, preview = folder / "maps.mkv", folder / "preview.mp4"
        write_maps(path, maps)
        sha256 = file_sha256(path)
        uri = f"{digest_name(f'controls/{key}', sha256)}.mkv"
        self._store.write_file(uri, path)
        encode_mp4(preview, maps, fps=item.fps, crf=output.crf, coded_fps=item.video_row["fps"])
        preview_sha256 = file_sha256(preview)
        name = f"media/controls/{item.video_id}/{key}"
        preview_uri = f"{digest_name(name, preview_sha256)}.mp4"
        self._store.write_file(preview_uri, preview)
        return {
            "uri": uri,
            "sha256": sha256,
            "nbytes": path.stat().st_size,
            "preview_uri": preview_uri,
            "preview_sha256": preview_sha256,
        }
