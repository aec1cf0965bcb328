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
from components.plan.fit import problems
from components.plan.rates import Rates, find_rates
from components.plan.shards import shard_size
from components.plan.video import VideoCost, base_configs
from components.records.models import model_config
from components.run.plan import Plan
from components.run.view import View
from components.steps.methods import answering
from components.steps.models import least_bytes
from tav_model.config import ControlConfig


class VariantWork:
    """What the next run would compute of each step for one variant, with the size of each clip."""

    def __init__(self, view: View) -> None:
        """Count nothing yet; see ``add``."""
        self.view = view
        self.ingest = self.caption = self.score = 0
        self.ingested: list[VideoConfig] = []
        """Sizes of the clips that the run still has to read."""
        self.tune: list[tuple[VideoConfig, tuple[str, ...]]] = []
        """Videos, and the kinds of stages that are missing."""
        self.control: list[VideoConfig] = []
        """Sizes of the clips of maps to be made, one for each map."""
        self.sample: list[tuple[VideoConfig, int]] = []
        """Videos with edits to be made, and how many."""

    def add(self, view: View) -> None:
        """Count the work of a portion of the run, as this variant sees it."""
        plan = Plan(view)
        lost = {
            (row["step"], row["edit_id"] or row["video_id"])
            for row in view.open_failures
            if plan.attempt(row["step"], row["item_key"], row["edit_id"] or row["video_id"]) is None
        }
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
                self.control += [size] * len(kinds_left)
            if name not in view.videos:
                self.ingest += 1
                self.ingested.append(size)
            self.caption += name not in view.captions
            wanted = kinds
            if name in view.stages:
                wanted = tuple(key.kind for key, _ in view.wanted(name))
            if wanted and (steered or not view.tunes_with_control):
                self.tune.append((size, wanted))
            ids = [f"{name}/{edit.name}" for edit in entry.edits]
            ids = [one for one in ids if ("sample", one) not in lost and steered]
            if missing := sum(one not in view.edits for one in ids):
                self.sample.append((size, missing))
            self.score += sum(
                (one, protocol) not in view.scores
                for one in ids
                if ("score", one) not in lost
                for protocol in protocols
            )


def net_configs(view: View) -> tuple[tuple[ControlConfig, Mapping[str, Any]], ...]:
    """The run's own nets, each with its config.json; of a hub's net this file alone is fetched."""
    nets = view.config.control.nets if view.method.uses_control else ()
    revisions = view.revisions.controls
    return tuple(
        (net, model_config("control.nets", net.model, revisions[net_name(net)], "config.json"))
        for net in nets
    )


class VariantCosts:
    """What one variant's work takes."""

    def __init__(self, work: VariantWork, device: Device | None, calibration: Path | None) -> None:
        self.view, self._work = work.view, work
        config = work.view.config
        base = None
        if work.view.method.uses_base:
            base = base_configs(config.model, work.view.revisions.base)
            base = dataclasses.replace(base, nets=net_configs(work.view))
        self._base = base
        self._of = functools.cache(functools.partial(VideoCost, config, base))
        clips = work.view.clips
        self.sizes = {clips.video_config(entry) for entry in work.view.manifest.videos}
        with answering(config.method):
            self.uncounted = work.view.method.cost() is None
            self.weights = least_bytes(work.view.method) if self.uncounted else None
            """Bytes that weights alone take where nobody has counted the rest, if known."""
        self.rates: Rates | None = None
        if base is not None and self.sizes:
            largest = max(self._of(size).train_flops for size in self.sizes)
            self.rates = find_rates(config, device, largest, calibration)

    def tune_seconds(self) -> float | None:
        """Of all videos; none where it is not known."""
        if self.rates is None:
            return None if self._unknown else 0.0
        return known_sum(self._of(size).tune_seconds(self.rates, k) for size, k in self._work.tune)

    def sample_seconds(self) -> float | None:
        """Of all edits; none where it is not known."""
        if self.rates is None:
            return None if self._unknown else 0.0
        each = [(self._of(size).sample_seconds(self.rates), n) for size, n in self._work.sample]
        return known_sum(None if one is None else one * count for one, count in each)

    @property
    def _unknown(self) -> bool:
        return self.uncounted or self.view.method.uses_base

    def tune_bytes(self) -> float | None:
        """Peak of a worker."""
        return known_max(self._of(size).tune_bytes() for size in self.sizes)

    def sample_bytes(self) -> float | None:
        """Peak of a worker."""
        return known_max(self._of(size).sample_bytes() for size in self.sizes)

    def tune_storage(self) -> float:
        """Bytes of what is prepared."""
        return sum(self._of(size).video_bytes(kinds) for size, kinds in self._work.tune)

    def control_storage(self) -> float:
        """Bytes of control maps, and of their previews."""
        return sum(self._of(size).map_bytes() for size in self._work.control)

    def sample_storage(self) -> float:
        """Bytes of edits."""
        return sum(self._of(size).edit_bytes() * count for size, count in self._work.sample)

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
        for size in sorted(self.sizes, key=lambda one: (one.num_frames, one.width, one.height)):
            yield from problems(self.view.config, self._base, size, limit)


def known_sum(values: Iterable[float | None]) -> float | None:
    """The sum of what is known; none where something is there and nothing is known."""
    every = list(values)
    known = [value for value in every if value is not None]
    return sum(known) if known or not every else None


def known_max(values: Iterable[float | None]) -> float | None:
    """The greatest of what is known; none where nothing is."""
    return max((value for value in values if value is not None), default=None)
