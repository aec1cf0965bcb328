"""What steers each video's edits in one variant, and the rows of its control maps."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from components.config import RunConfig
from components.controls.maker import (
    FILES,
    MASK,
    maker_key,
    maker_models,
    model_name,
    net_name,
)
from components.errors import UserError
from components.manifest.edits import VideoEntry
from components.records.keys import content_key
from components.records.revisions import hub_revision
from components.run.clips import Clips
from components.run.tables import Tables
from components.steps.control import control_key
from components.steps.methods import make_method
from components.storage.tables import Row
from methods.registry import find_method
from tav_model.config import ControlConfig

_COLUMNS = ("control_key", "uri", "sha256", "num_frames")
"""What leads to a map."""


def nets_of(
    config: RunConfig, entries: Iterable[VideoEntry]
) -> Iterator[tuple[VideoEntry, tuple[ControlConfig, ...]]]:
    """Videos with the nets that steer their edits: their own where they have any, else the run's.

    There are none where the variant's method cannot be steered.
    """
    if find_method(config.method).uses_control:  # asked once: it looks at what is installed
        for entry in entries:
            yield entry, config.control.nets if entry.control is None else entry.control


def masks_of(config: RunConfig) -> bool:
    """Whether a variant's method asks for masks by SAM 2."""
    try:
        method = make_method(config)
    except UserError:
        return False  # a method that refuses its settings says so where it is to work
    return method.edits_use_mask and method.masks_by_sam2


@dataclass(frozen=True, kw_only=True, slots=True)
class MapKey:
    """One map of one video."""

    map: str
    maker: str
    """See ``maker_key``."""
    work_key: str
    """What the work is known by in ``failures``; of ``files`` its beginning (see
    ``editing.reading_key``)."""
    control_key: str | None
    """Of the row; none of ``files`` that were not read yet, whose content it names."""


class Controlled:
    """One variant's share of the table ``controls``."""

    def __init__(
        self, config: RunConfig, clips: Clips, tables: Tables, revisions: dict[str, str]
    ) -> None:
        """Look at a variant.

        Args:
            config: Of the variant.
            clips: What all variants share.
            tables: One reading of the run.
            revisions: Of the variant's nets and makers' models, by ``model_name``.
        """
        self._config, self._clips, self._tables = config, clips, tables
        self.revisions = revisions
        self.masks = masks_of(config)
        """Whether each video needs SAM 2's mask."""
        self._makers: dict[str, str] = {}

    def maker(self, kind: str) -> str:
        """See ``maker_key``."""
        if kind not in self._makers:
            self._makers[kind] = maker_key(self._config.control, kind, self.revisions)
        return self._makers[kind]

    @functools.cached_property
    def nets(self) -> dict[str, tuple[ControlConfig, ...]]:
        """The nets of each video of the manifest that has any, by id."""
        videos = self._clips.manifest.videos
        return {entry.video_id: nets for entry, nets in nets_of(self._config, videos) if nets}

    @property
    def every(self) -> tuple[ControlConfig, ...]:
        """All nets of any video, in order."""
        return nets_asked(self._config, self._clips.manifest.videos)

    @functools.cached_property
    def maps(self) -> dict[str, dict[str, MapKey]]:
        """The maps that ingested videos need, by video id and kind."""
        return {
            video_id: {kind: self._map(video_id, kind) for kind in self.kinds(video_id)}
            for video_id in self.asked
            if video_id in self._clips.videos
        }

    @functools.cached_property
    def asked(self) -> list[str]:
        """The videos of the manifest that need maps, by id."""
        ids = (entry.video_id for entry in self._clips.manifest.videos)
        return [video_id for video_id in ids if self.masks or video_id in self.nets]

    def kinds(self, video_id: str) -> list[str]:
        """The kinds of maps that a video needs."""
        masks = [MASK] * self.masks
        return list(dict.fromkeys([*(net.map for net in self.nets.get(video_id, ())), *masks]))

    @functools.cached_property
    def addresses(self) -> dict[str, str | None]:
        """Where the manifest has the maps of videos that are shown ``files``, by id."""
        return {
            entry.video_id: entry.maps
            for entry in self._clips.manifest.videos
            if FILES in self.kinds(entry.video_id)
        }

    def _map(self, video_id: str, kind: str) -> MapKey:
        clip, maker = self._clips.videos[video_id]["video_key"], self.maker(kind)
        if kind != FILES:
            key = control_key(clip, maker)
            return MapKey(map=kind, maker=maker, work_key=key, control_key=key)
        address = self.addresses[video_id]
        row = self._read(video_id, clip, maker)
        return MapKey(
            map=kind,
            maker=maker,
            work_key=content_key(kind="control", video_key=clip, maker=maker, uri=address),
            control_key=None if row is None else row["control_key"],
        )

    def _read(self, video_id: str, clip: str, maker: str) -> Row | None:
        """The last reading of a video's maps from where the manifest has them."""
        address = self.addresses[video_id]
        rows = [
            row
            for row in self._tables.read_maps.get(video_id, ())
            if row["source_uri"] == address
            and row["control_key"] == control_key(clip, maker, row["source_sha256"])
        ]
        return rows[-1] if rows else None

    def rows(self, video_id: str) -> dict[str, Row]:
        """The maps that are there, by kind."""
        found = {}
        for kind, one in self.maps.get(video_id, {}).items():
            row = self._tables.controls.get((video_id, one.control_key or ""))
            if row is not None:
                found[kind] = row
        return found

    def missing(self, video_id: str) -> list[MapKey]:
        """The maps that are not there."""
        there = self.rows(video_id)
        return [one for kind, one in self.maps.get(video_id, {}).items() if kind not in there]

    @functools.cached_property
    def ready(self) -> set[str]:
        """Ingested videos whose maps are all there, by id; those that need none are among them."""
        return {name for name in self._clips.videos if not self.missing(name)}

    def parts(self, video_id: str) -> list[dict[str, Any]]:
        """What keys hold of a video's nets and maps, in order."""
        maps = self.maps.get(video_id, {})
        return [
            self._part(net) | {"control": maps[net.map].control_key or maps[net.map].work_key}
            for net in self.nets.get(video_id, ())
        ]

    def _part(self, net: ControlConfig) -> dict[str, Any]:
        """What a net is, wherever it lies."""
        return {
            "kind": net.kind,
            "revision": self.revisions.get(net_name(net), ""),
            "weight": float(net.weight),
            "start": float(net.start),
            "end": float(net.end),
        }

    def mask_key(self, video_id: str) -> str | None:
        """The key of SAM 2's mask of an ingested video; none where the manifest's is used."""
        return self.maps[video_id][MASK].control_key if self.masks else None

    def mask_item(self, video_id: str) -> Row | None:
        """What a worker needs of it (see ``steps.source``)."""
        if not self.masks:
            return None
        row = self.rows(video_id)[MASK]
        return {name: row[name] for name in _COLUMNS}

    def items(self, video_id: str) -> list[Row]:
        """What a worker needs of a video's nets (see ``steps.source``)."""
        rows = self.rows(video_id)
        found = []
        for net in self.nets.get(video_id, ()):
            exact = self.revisions.get(net_name(net), "")
            pinned = replace(net, revision=hub_revision(exact) if exact else net.revision)
            row = rows[net.map]
            found.append({"net": asdict(pinned), **{name: row[name] for name in _COLUMNS}})
        return found

    def signature(self) -> Any:
        """The nets and makers in use, whatever the video: equal for variants that share all."""
        return sorted({str(self._told(nets)) for nets in {*self.nets.values()}} | self._bare())

    def _bare(self) -> set[str]:
        return {""} if len(self.nets) < len(self._clips.manifest.videos) else set()

    def _told(self, nets: tuple[ControlConfig, ...]) -> list[Any]:
        return [(sorted(self._part(net).items()), self.maker(net.map)) for net in nets]

    def makers(self) -> frozenset[str]:
        """The makers of all maps that are needed."""
        kinds = {net.map for nets in self.nets.values() for net in nets} | (
            {MASK} if self.masks else set()
        )
        return frozenset(map(self.maker, kinds))


def nets_asked(config: RunConfig, entries: Iterable[VideoEntry]) -> tuple[ControlConfig, ...]:
    """The nets that steer a variant's edits of any of these videos, in order."""
    return tuple(dict.fromkeys(net for _, nets in nets_of(config, entries) for net in nets))


def kinds_asked(config: RunConfig, entries: Iterable[VideoEntry]) -> tuple[str, ...]:
    """The kinds of maps that a variant needs of any of these videos, in order."""
    masks = [MASK] * masks_of(config)
    return tuple(dict.fromkeys([*(net.map for net in nets_asked(config, entries)), *masks]))


def models_asked(
    config: RunConfig, entries: Iterable[VideoEntry]
) -> dict[str, tuple[str, str | None]]:
    """The nets and makers' models of a variant by ``model_name``, with name and revision of each.

    Args:
        config: Of the variant.
        entries: Videos of the manifest.
    """
    nets = nets_asked(config, entries)
    found = {net_name(net): (net.model, net.revision) for net in nets}
    for kind in kinds_asked(config, entries):
        for model in maker_models(config.control, kind).values():
            found[model_name(*model)] = model
    return found
