"""The sample step: every edited prompt of a video, made by the variant's method."""

from __future__ import annotations

import dataclasses
import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from components.config import VideoConfig
from components.errors import ItemError, SourceError
from components.log import VideoLog
from components.records.failures import expected_errors
from components.records.keys import content_key, item_seed
from components.records.provenance import model_columns, provenance
from components.steps.ingest import load_clip
from components.steps.methods import Methods, foreign_errors
from components.steps.prepare import Artefacts
from components.steps.step import ItemWorker, Outcome, StepContext
from components.storage.address import digest_name
from components.storage.store import file_sha256
from components.storage.tables import Row
from components.video.io import encode_mp4, write_png_frames
from components.video.isolated import decoder
from components.video.sources import fetch_source, source_sha256
from methods.method import Edit, Method, Prepared, Source
from tinyworld.shipped import public_name

if TYPE_CHECKING:
    from methods.method import Frames

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class EditWork:
    """One edit to be made."""

    item_key: str
    """The edit's key; of a given video that of its reading (see ``reading_key``)."""
    edit_id: str
    video_id: str
    prompt: str
    category: str
    problem: str | None
    """Why its template could not be filled in."""
    given: Row | None
    """``uri`` and ``version`` of the finished video that it is read from, and ``edit_key``, to
    which its content is added (see ``given_key``)."""
    attempt: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleItem:
    """One video and the edits to be made of it by one variant, so that it is loaded once."""

    video_id: str
    video_key: str
    variant: str
    video_row: Row
    """What leads back to the clip's frames (see ``plan.clip_reference``)."""
    fps: float
    """Frames per second of the edited video."""
    source_fps: float
    """Of its source."""
    source_prompt: str
    seed_key: str
    """What the method's draws are seeded with, beside the run's seed."""
    made: list[Row]
    """What was prepared (see ``PrepareItem.made``)."""
    stages: Row
    """``adapter_key``, ``inversion`` and ``artefact_key`` of the edits' rows."""
    edits: list[Row]
    """Fields of an ``EditWork`` each."""


def given_key(edit_key: str, sha256: str) -> str:
    """Content key of an edit that is read from a finished video.

    Args:
        edit_key: Of the edit, whatever the video holds.
        sha256: Of the video.
    """
    return content_key(edit=edit_key, sha256=sha256)


def reading_key(edit_key: str, version: str) -> str:
    """What reading one version of a finished video is known by in ``failures``.

    Args:
        edit_key: Of the edit, whatever the video holds; the key begins with it.
        version: Of the video.
    """
    return f"{edit_key}-{content_key(version=version)[:12]}"


class SampleWorker(ItemWorker):
    """Loads what a method needs once and makes edits of video after video."""

    step = "sample"
    table = "edits"
    identity = MappingProxyType({"edit_id": "edit_id", "edit_key": "item_key"})

    def __init__(self, context: StepContext) -> None:
        super().__init__(context)
        self._methods = Methods(context)
        self._artefacts = Artefacts(self._store)

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
                        row["kind"]: self._artefacts.fetch(row, folder) for row in item.made
                    }
            except ItemError as error:
                yield from (self._failed(edit, error) for edit in edits)
                return
            video = _Video(item, self._context.of(item.variant), method, prepared, folder)
            sound = []
            for edit in edits:
                if (problem := video.problem(edit)) is None:
                    sound.append(edit)
                else:
                    yield self._failed(edit, problem)
            for first in range(0, len(sound), method.batch):
                batch = sound[first : first + method.batch]
                log.info("editing %s", ", ".join(edit.edit_id for edit in batch))
                yield from self._edit(video, batch)

    def _edit(self, video: _Video, batch: Sequence[EditWork]) -> Iterator[Outcome]:
        """Make a batch of edits; where one of several fails, those without frames go singly."""
        done, share, began = 0, 0.0, time.perf_counter()
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

    def _keep(self, video: _Video, edit: EditWork, frames: Frames, began: float) -> None:
        """Write the edit's mp4 (and PNG frames on request), then the row that names them."""
        item, context = video.item, video.context
        config = context.config
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
            **origin,
            "source_prompt": item.source_prompt,
            "prompt": edit.prompt,
            "category": edit.category,
            **self._write(video, f"media/edits/{item.video_id}/{key}", frames),
            "num_frames": len(frames),
            "fps": item.fps,
            **model_columns(public_name(config.model.base), context.base_revision, config.seed),
            **provenance(
                config_hash=context.config_hash, device=config.model.device, started=began
            ),
        }
        self._writer.add("edits", row)

    def _write(self, video: _Video, name: str, frames: Frames) -> Row:
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


class _Video:
    """One video under one method, with all that its edits are made from."""

    def __init__(
        self,
        item: SampleItem,
        context: StepContext,
        method: Method,
        prepared: Prepared,
        folder: Path,
    ) -> None:
        self.item = item
        self.context = context
        """Of the variant."""
        self.folder = folder
        """For files that are needed no longer than the video."""
        self._method = method
        self._prepared = prepared
        self._name = context.config.method
        self._given: dict[str, str] = {}
        self._source = Source(
            video_id=item.video_id,
            prompt=item.source_prompt,
            seed=item_seed(context.config.seed, item.seed_key),
            load=lambda: load_clip(item.video_row, context.config.video.limits).frames,
        )

    def problem(self, edit: EditWork) -> ItemError | None:
        """Why this edit's prompt cannot be used, found before it joins a batch."""
        if edit.problem is not None:
            return ItemError(edit.problem)
        try:
            with foreign_errors(self._name):
                self._method.check_prompt(edit.prompt)
        except ItemError as error:
            return error
        return None

    def frames(self, batch: Sequence[EditWork]) -> Iterator[Frames]:
        """What the method makes of each edit, checked; whatever goes wrong is an ItemError."""
        asked = [self._asked(edit) for edit in batch]
        with foreign_errors(self._name):
            made = iter(self._method.edit(self._source, asked, self._prepared))
        for edit in batch:
            with foreign_errors(self._name):
                frames = next(made, None)
            yield _checked(self._name, edit, frames, self.item.video_row)

    def origin(self, edit: EditWork) -> Row:
        """The columns that say which finished video an edit was read from.

        Raises:
            ItemError: the method did not read it.
        """
        if edit.given is None:
            return dict.fromkeys(("given_uri", "given_version", "given_sha256"))
        if (sha256 := self._given.get(edit.edit_id)) is None:
            raise ItemError(
                f"method {self._name!r} names {edit.given['uri']} as {edit.edit_id!r} and did not "
                "read it: give what edit.given() returns, or no address"
            )
        return {
            "given_uri": edit.given["uri"],
            "given_version": edit.given["version"],
            "given_sha256": sha256,
        }

    def _asked(self, edit: EditWork) -> Edit:
        name = edit.edit_id.removeprefix(f"{edit.video_id}/")
        given = None if edit.given is None else lambda: self._read(edit)
        return Edit(name=name, prompt=edit.prompt, given=given)

    def _read(self, edit: EditWork) -> Frames:
        """Read a finished video as a source is read, at the clip's size."""
        assert edit.given is not None
        row, limits = self.item.video_row, self.context.config.video.limits
        uri, count = edit.given["uri"], row["num_frames"]
        size = {name: row[name] for name in ("width", "height", "fit", "num_frames")}
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            path = fetch_source(uri, Path(folder), limits)
            self._given[edit.edit_id] = source_sha256(path)
            clip = decoder().clip(path, VideoConfig(**size, limits=limits))
        assert clip.source is not None  # decode_clip gives it
        if clip.source.num_frames != count:
            raise SourceError(
                f"{uri} has {clip.source.num_frames} frames, but the clip that it is an edit of "
                f"has {count}: give one of as many, or set video.num_frames to its number"
            )
        return clip.frames


def _checked(method: str, edit: EditWork, frames: Any, clip: Row) -> Frames:
    """Frames as a method has to give them.

    Raises:
        ItemError: they are something else.
    """
    shape: Any = getattr(frames, "shape", ())
    kind = getattr(frames, "dtype", None)
    wanted = (clip["num_frames"], clip["height"], clip["width"], 3)
    if tuple(shape) != wanted or kind != "uint8":
        given = "nothing" if frames is None else f"{kind or type(frames).__name__} of shape {shape}"
        raise ItemError(
            f"method {method!r} gave {given} for {edit.edit_id!r}, but uint8 of the clip's shape "
            f"{wanted} is needed"
        )
    found: Frames = frames
    return found
