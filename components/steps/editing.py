"""One video under one method, on a worker: what its edits are made from and have to be."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.config import VideoConfig
from components.errors import ItemError, SourceError
from components.records.keys import content_key
from components.steps.methods import foreign_errors
from components.steps.source import source_of
from components.steps.step import StepContext
from components.storage.store import Store
from components.storage.tables import Row
from components.video.isolated import decoder
from components.video.sources import fetch_source, source_sha256
from methods.method import Edit, Method, Prepared

if TYPE_CHECKING:
    from methods.method import Frames


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
    """What leads back to the clip's frames (see ``clips.clip_reference``)."""
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
    controls: list[Row] = field(default_factory=list)
    """What steers the edits (see ``steps.source``)."""
    mask: Row | None = None
    """SAM 2's mask (likewise); none where the manifest's own is used."""
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


class VideoEdits:
    """One video under one method, with all that its edits are made from."""

    def __init__(
        self,
        item: SampleItem,
        context: StepContext,
        method: Method,
        prepared: Prepared,
        folder: Path,
        store: Store,
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
        self._source = source_of(item, context.config, method, store, folder)

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
