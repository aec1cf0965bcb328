"""What the next run would compute for one variant, and what that takes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from components.config import VideoConfig
from components.controls.maker import net_name
from components.plan.devices import Device
from components.plan.fit import problems, task_memory
from components.plan.makers import maker_bytes
from components.plan.memory import chosen
from components.plan.rates import Rates, find_rates
from components.plan.shards import shard_size
from components.plan.video import BaseConfigs, VideoCost, base_configs
from components.records.models import model_config
from components.run.plan import Plan
from components.run.view import View
from components.steps.methods import answering
from components.steps.models import least_bytes
from methods.method import ADAPTER
from tav_model.config import ControlConfig

Nets = tuple[ControlConfig, ...]
Clip = tuple[VideoConfig, Nets]
"""The size of a clip, and what steers its edits."""


class VariantWork:
    """What the next run would compute of each step for one variant, with the size of each clip."""

    def __init__(self, view: View) -> None:
        """Count nothing yet; see ``add``."""
        self.view = view
        self.ingest = self.caption = self.score = 0
        self.ingested: list[VideoConfig] = []
        """Sizes of the clips that the run still has to read."""
        self.tune: list[tuple[Clip, tuple[str, ...]]] = []
        """Videos, and the kinds of stages that are missing."""
        self.control: list[tuple[VideoConfig, str]] = []
        """Sizes of the clips of maps to be made, with the kind of each map."""
        self.sample: list[tuple[Clip, int]] = []
        """Videos with edits to be made, and how many."""

    def add(self, view: View) -> None:
        """Count the work of a portion of the run, as this variant sees it."""
        plan = Plan(view)
        lost, tuned = plan.lost, set[str]()
        kinds = tuple(stage.kind for stage in view.method.stages() if stage.kept)
        protocols = view.config.score.protocols
        for entry in view.manifest.videos:
            name, size = entry.video_id, view.clips.video_config(entry)
            if any((step, name) in lost for step in ("ingest", "caption", "tune")):
                continue
            controlled = view.controlled
            kinds_left = controlled.kinds(name)
            if name in controlled.maps:
                kinds_left = [one.map for one in controlled.missing(name)]
            steered = ("control", name) not in lost
            if steered:
                self.control += [(size, kind) for kind in kinds_left]
            if name not in view.videos:
                self.ingest += 1
                self.ingested.append(size)
            self.caption += name not in view.captions
            wanted = kinds
            if name in view.stages:
                wanted = tuple(key.kind for key, _ in view.wanted(name))
            if ADAPTER in wanted and name in view.groups:
                group = view.groups[name].name
                wanted = tuple(one for one in wanted if one != ADAPTER or group not in tuned)
                tuned.add(group)
            if wanted and (steered or not view.tunes_with_control):
                self.tune.append(((size, controlled.nets.get(name, ())), wanted))
            ids = [f"{name}/{edit.name}" for edit in entry.edits]
            ids = [one for one in ids if ("sample", one) not in lost and steered]
            if missing := sum(one not in view.edits for one in ids):
                self.sample.append(((size, controlled.nets.get(name, ())), missing))
            self.score += sum(
                (one, protocol) not in view.scores
                for one in ids
                if ("score", one) not in lost
                for protocol in protocols
            )


def net_configs(view: View) -> dict[ControlConfig, Mapping[str, Any]]:
    """Each net's config.json, the manifest's too; of a hub's net this file alone is fetched."""
    revisions = view.revisions.controls
    return {
        net: model_config("control.nets", net.model, revisions[net_name(net)], "config.json")
        for net in view.controlled.every
    }


class VariantCosts:
    """What one variant's work takes."""

    def __init__(self, work: VariantWork, device: Device | None, calibration: Path | None) -> None:
        self.view, self._work = work.view, work
        config = work.view.config
        base, self._nets = None, dict[ControlConfig, Mapping[str, Any]]()
        if work.view.method.uses_base:
            base = base_configs(config.model, work.view.revisions.base)
            self._nets = net_configs(work.view)
        self._base = base
        self._device = "cpu" if device is None or not device.is_gpu else "cuda"
        self._of = functools.cache(self._counted)
        nets = work.view.controlled.nets
        self.clips: set[Clip] = {
            (work.view.clips.video_config(entry), nets.get(entry.video_id, ()))
            for entry in work.view.manifest.videos
        }
        with answering(config.method):
            self.uncounted = work.view.method.cost() is None
            self.weights = least_bytes(work.view.method) if self.uncounted else None
            """Bytes that weights alone take where nobody has counted the rest, if known."""
        entries = work.view.manifest.videos
        every = None if base is None else dataclasses.replace(base, nets=tuple(self._nets.items()))
        self._config, self.notes = chosen(
            config,
            every,
            [size for size, _ in self.clips],
            task_memory(config, device),
            max((len(entry.edits) for entry in entries), default=1),
        )
        """The variant's, with what is `auto` as the run will choose it."""
        self.rates: Rates | None = None
        if base is not None and self.clips:
            largest = max(self._of(*clip).train_flops for clip in self.clips)
            self.rates = find_rates(config, device, largest, calibration)

    def _counted(self, size: VideoConfig, nets: Nets = ()) -> VideoCost:
        return VideoCost(self._config, self._steered(nets), size)

    def _steered(self, nets: Nets) -> BaseConfigs | None:
        """The base with the nets of some video."""
        if self._base is None:
            return None
        return dataclasses.replace(self._base, nets=tuple((n, self._nets[n]) for n in nets))

    def tune_seconds(self) -> float | None:
        """Of all videos; none where it is not known."""
        if self.rates is None:
            return None if self._unknown else 0.0
        return known_sum(self._of(*clip).tune_seconds(self.rates, k) for clip, k in self._work.tune)

    def sample_seconds(self) -> float | None:
        """Of all edits; none where it is not known."""
        if self.rates is None:
            return None if self._unknown else 0.0
        each = [(self._of(*clip).sample_seconds(self.rates), n) for clip, n in self._work.sample]
        return known_sum(None if one is None else one * count for one, count in each)

    @property
    def _unknown(self) -> bool:
        return self.uncounted or self.view.method.uses_base

    def tune_bytes(self) -> float | None:
        """Peak of a worker."""
        return known_max(self._of(*clip).tune_bytes() for clip in self.clips)

    def sample_bytes(self) -> float | None:
        """Peak of a worker."""
        return known_max(self._of(*clip).sample_bytes() for clip in self.clips)

    def control_bytes(self) -> float | None:
        """Peak of a worker that makes maps with a model, at least."""
        return known_max(one for _, _, one in self._makers())

    def _makers(self) -> Iterator[tuple[str, VideoConfig, float]]:
        """Kinds of maps of each size, with what making them takes."""
        controlled, clips = self.view.controlled, self.view.clips
        asked = {
            (kind, clips.video_config(entry))
            for entry in self.view.manifest.videos
            for kind in controlled.kinds(entry.video_id)
        }
        for kind, size in sorted(asked, key=str):
            if (needed := maker_bytes(self.view.config.control, kind, size)) is not None:
                yield kind, size, needed

    def tune_storage(self) -> float:
        """Bytes of what is prepared."""
        return sum(self._of(*clip).video_bytes(kinds) for clip, kinds in self._work.tune)

    def control_storage(self) -> float:
        """Bytes of control maps, and of their previews."""
        return sum(self._of(size).map_bytes() for size, _ in self._work.control)

    def sample_storage(self) -> float:
        """Bytes of edits."""
        return sum(self._of(*clip).edit_bytes() * count for clip, count in self._work.sample)

    def previews(self, work: VariantWork) -> float:
        """Bytes of the clips' previews."""
        return sum(self._of(size).edit_bytes() for size in work.ingested)

    def shards(self) -> int:
        """Ray Train jobs."""
        if not any(stage.long for stage in self.view.method.stages()):
            return 0
        count, seconds = len(self._work.tune), self.tune_seconds()
        size = shard_size(self.view.config, seconds / count if seconds and count else None)
        return -(-count // size)

    def problems(self, limit: float) -> Iterator[str]:
        """What does not fit into a worker's memory."""
        if self.weights is not None and self.weights > limit:
            yield (
                f"the weights of {self.view.config.method} alone take {self.weights / 1e9:.1f} GB, "
                f"but a worker has {limit / 1e9:.1f} GB: use a device with more memory, a smaller "
                "model, or what the method offers (dtype, offload)"
            )
        for kind, size, needed in self._makers():
            if needed > limit and self.view.config.control.device.startswith(self._device):
                yield (
                    f"maps of kind {kind!r} of {size.num_frames} frames take {needed / 1e9:.1f} GB "
                    f"or more, but a worker has {limit / 1e9:.1f} GB: use a smaller model "
                    f"(control.{kind}), fewer frames, or another control.device"
                )
        for size, nets in sorted(self.clips, key=_size):
            yield from problems(self._config, self._steered(nets), size, limit)


def _size(clip: Clip) -> tuple[Any, ...]:
    size, nets = clip
    return size.num_frames, size.width, size.height, str(nets)


def known_sum(values: Iterable[float | None]) -> float | None:
    """The sum of what is known; none where something is there and nothing is known."""
    every = list(values)
    known = [value for value in every if value is not None]
    return sum(known) if known or not every else None


def known_max(values: Iterable[float | None]) -> float | None:
    """The greatest of what is known; none where nothing is."""
    return max((value for value in values if value is not None), default=None)
