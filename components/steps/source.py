"""The clip of an item of work as its method sees it: what it holds is fetched when asked for."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from components.config import RunConfig
from components.controls.keeping import read_maps_file
from components.errors import ItemError
from components.records.keys import item_seed
from components.steps.ingest import load_clip, load_mask
from components.storage.store import Store
from components.storage.tables import Row
from components.video.masks import OBJECT
from methods.method import Control, Frames, Masks, Method, Source
from tav_model.config import ControlConfig

if TYPE_CHECKING:
    from components.controls.maps import Maps


class _Clip(Protocol):
    """What an item of work says of its clip."""

    @property
    def video_id(self) -> str:
        """The manifest's id."""

    @property
    def video_row(self) -> Row:
        """See ``clips.clip_reference``."""

    @property
    def source_prompt(self) -> str:
        """What the clip shows."""

    @property
    def controls(self) -> Sequence[Row]:
        """``net`` (fields of a ``ControlConfig``) of what steers it, and columns of its map."""

    @property
    def mask(self) -> Row | None:
        """Columns of SAM 2's mask; none where the manifest's own is used."""

    @property
    def seed_key(self) -> str:
        """What draws are seeded with, beside the run's seed."""


def source_of(
    item: _Clip,
    config: RunConfig,
    method: Method,
    store: Store,
    folder: Path,
    *,
    others: Sequence[Source] = (),
    group: str = "",
) -> Source:
    """The clip of an item as its method sees it; frames, mask and maps are read when asked for.

    Args:
        item: The work.
        config: Of the variant.
        method: The variant's. One that does not say so is refused a mask: it would be in no key.
        store: The run's store.
        folder: For files that are needed no longer than the clip.
        others: More clips of its group.
        group: Of what is itself another one of a group: its name, for messages.
    """
    row, limits = item.video_row, config.video.limits

    def frames() -> Frames:
        try:
            return load_clip(row, limits).frames
        except ItemError as error:
            if not group:
                raise
            raise type(error)(f"video {item.video_id!r} of group {group!r}: {error}") from error

    def mask() -> Masks | None:
        if not method.edits_use_mask:
            raise ItemError(
                f"method {config.method!r} asks for a mask, but its class says uses_mask = False: "
                "set it to True, so that masks are part of its keys"
            )
        if item.mask is not None:
            found: Masks = _maps(item.mask, store, folder).max(axis=-1) > OBJECT
            return found
        return load_mask(row, limits)

    return Source(
        video_id=item.video_id,
        prompt=item.source_prompt,
        seed=item_seed(config.seed, item.seed_key),
        load=frames,
        load_mask=mask,
        controls=[
            Control(
                net=ControlConfig(**one["net"]),
                load=functools.partial(_maps, one, store, folder),
            )
            for one in item.controls
        ],
        others=others,
    )


def _maps(row: Row, store: Store, folder: Path) -> Maps:
    """Control maps by ``control_key``, ``uri``, ``sha256`` and ``num_frames``."""
    path = folder / f"{row['control_key']}.mkv"
    if not path.exists():  # two nets may be shown the same
        store.fetch_checked(row["uri"], path, row["sha256"])
    return read_maps_file(path, row["num_frames"])
