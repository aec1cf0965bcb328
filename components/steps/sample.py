"""The sample step: every edited prompt of a video, made by the variant's method."""

from __future__ import annotations

import dataclasses
import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from typing_extensions import override

from components.errors import ItemError
from components.log import VideoLog
from components.records.failures import expected_errors
from components.records.provenance import provenance
from components.steps.editing import EditWork, SampleItem, VideoEdits, given_key
from components.steps.fresh import Fresh
from components.steps.methods import Methods, base_columns
from components.steps.prepare import Artefacts
from components.steps.step import ItemWorker, Outcome, StepContext
from components.storage.address import digest_name
from components.storage.store import file_sha256
from components.storage.tables import Row
from components.video.io import encode_mp4, write_png_frames
from tav_model.memory import peak_bytes, reset_peak

if TYPE_CHECKING:
    from methods.method import Frames

logger = logging.getLogger(__name__)


class SampleWorker(ItemWorker):
    """Loads what a method needs once and makes edits of video after video."""

    step = "sample"
    table = "edits"
    identity = MappingProxyType({"edit_id": "edit_id", "edit_key": "item_key"})

    def __init__(self, context: StepContext) -> None:
        super().__init__(context)
        self._methods = Methods(context)
        self._artefacts = Artefacts(self._store)

    def use(self, fresh: Fresh) -> None:
        """Look for what videos were prepared with among what this process has just made."""
        self._artefacts.fresh = fresh

    @override
    def _unsettled(self, items: Sequence[SampleItem]) -> list[SampleItem]:
        """With those edits alone that are not settled."""
        left = []
        for item in items:
            edits = [edit for edit in item.edits if EditWork(**edit) not in self._settled]
            left.extend([dataclasses.replace(item, edits=edits)] if edits else [])
        return left

    @override
    def _outcomes(self, items: Sequence[SampleItem]) -> Iterator[Outcome]:
        for item in items:
            yield from self._edit_video(item)

    def _edit_video(self, item: SampleItem) -> Iterator[Outcome]:
        log = VideoLog(logger, step="sample", video_id=item.video_id)
        edits = [EditWork(**fields) for fields in item.edits]
        method = self._methods.of(item.variant)
        with self._scratch() as folder:
            try:
                with expected_errors():
                    prepared = {
                        row["kind"]: self._artefacts.fetch(item.video_id, row, folder)
                        for row in item.made
                    }
            except ItemError as error:
                yield from (self._failed(edit, error) for edit in edits)
                return
            context = self._context.of(item.variant)
            video = VideoEdits(item, context, method, prepared, folder, self._store)
            sound = []
            for edit in edits:
                if (problem := video.problem(edit)) is None:
                    sound.append(edit)
                else:
                    yield self._failed(edit, problem)
            for first in range(0, len(sound), method.batch):
                batch = sound[first : first + method.batch]
                log.debug("editing %s", ", ".join(edit.edit_id for edit in batch))
                yield from self._edit(video, batch)

    def _edit(self, video: VideoEdits, batch: Sequence[EditWork]) -> Iterator[Outcome]:
        """Make a batch of edits; where one of several fails, those without frames go singly."""
        done, share, began = 0, 0.0, time.perf_counter()
        reset_peak(video.context.config.model.device)
        try:
            for edit, frames in zip(batch, video.frames(batch), strict=True):
                if not done:  # a method may well make all of a batch before it gives the first
                    share = (time.perf_counter() - began) / len(batch)
                    began += share * (len(batch) - 1)
                done += 1
                try:
                    with expected_errors():
                        self._keep(video, edit, frames, began)
                except ItemError as error:
                    yield self._failed(edit, error)
                else:
                    yield Outcome(edit.video_id, edit.edit_id, time.perf_counter() - began)
                began = time.perf_counter() - share
        except ItemError as error:
            if len(batch) == 1:
                yield self._failed(batch[0], error)
                return
            logger.warning("%d edits of %s singly: %s", len(batch), batch[0].video_id, error)
            for edit in batch[done:]:
                yield from self._edit(video, [edit])

    def _keep(self, video: VideoEdits, edit: EditWork, frames: Frames, began: float) -> None:
        """Write the edit's mp4 (and PNG frames on request), then the row that names them."""
        item, context = video.item, video.context
        config = context.config
        maps = [*item.controls, *([] if item.mask is None else [item.mask])]
        origin = video.origin(edit)
        key = edit.item_key
        if edit.given is not None:
            key = given_key(edit.given["edit_key"], origin["given_sha256"])
        row = {
            "edit_key": key,
            "edit_id": edit.edit_id,
            "video_id": item.video_id,
            "video_key": item.video_key,
            "method": config.method,
            **item.stages,
            "control_keys": [row["control_key"] for row in maps] or None,
            **origin,
            "source_prompt": item.source_prompt,
            "prompt": edit.prompt,
            "category": edit.category,
            **self._write(video, f"media/edits/{item.video_id}/{key}", frames),
            "num_frames": len(frames),
            "fps": item.fps,
            "peak_bytes": peak_bytes(config.model.device),
            **base_columns(context),
            **provenance(
                config_hash=context.config_hash, device=config.model.device, started=began
            ),
        }
        self._writer.add("edits", row)

    def _write(self, video: VideoEdits, name: str, frames: Frames) -> Row:
        """Store an edit's objects and return the columns that name them."""
        output = video.context.config.output
        frames_uri = None
        with tempfile.TemporaryDirectory(dir=video.folder) as folder:
            path = Path(folder, "edit.mp4")
            self._encode(path, frames, video.item, output.crf)
            sha256 = file_sha256(path)
            video_uri = f"{digest_name(name, sha256)}.mp4"
            self._store.write_file(video_uri, path)
            if output.frames:
                frames_uri = f"{name}-frames"
                for picture in write_png_frames(Path(folder, "frames"), frames):
                    self._store.write_file(f"{frames_uri}/{picture.name}", picture)
        return {"video_uri": video_uri, "sha256": sha256, "frames_uri": frames_uri}

    def _encode(self, target: Path, frames: Frames, item: SampleItem, crf: int) -> None:
        encode_mp4(target, frames, fps=item.fps, crf=crf, coded_fps=item.source_fps)

    def _failed(self, edit: EditWork, error: ItemError) -> Outcome:
        return self._fail(edit, error, edit.edit_id)
