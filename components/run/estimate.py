"""A run before it runs: what is there, what is left, what that takes, and whether it fits."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from components.config import RunConfig, VideoConfig
from components.plan.devices import Device, find_device
from components.plan.fit import problems, task_memory
from components.plan.rates import Rates, find_rates
from components.plan.shards import START_SECONDS, shard_size
from components.plan.video import VideoCost, base_configs
from components.run.current import State
from components.run.plan import Plan
from components.run.sizes import check_sizes
from components.run.status import run_status
from components.run.view import View
from components.steps import STEPS
from components.steps.methods import answering
from components.steps.models import check_models
from components.storage.tables import read_table


@dataclass(kw_only=True, slots=True)
class StepPlan:
    """One step of a plan."""

    total: int
    done: int
    """There already."""
    todo: int
    """Computed by the next run, if all goes well before."""
    failed: int
    """Left out by the next run: failed for good, or waiting for what did."""
    seconds: float | None = None
    """Of all workers together; none where nobody knows."""
    peak_bytes: float | None = None
    """Of one worker; none where it is not modelled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VariantPlan:
    """What one variant's work takes, as if it were alone; none where it is not known."""

    method: str
    tune_seconds: float | None
    sample_seconds: float | None
    tune_bytes: float | None
    """Peak of one worker."""
    sample_bytes: float | None


@dataclass(kw_only=True, slots=True)
class RunPlan:
    """What the next `tav run` of a configuration would do."""

    videos: int
    edits: int
    device: Device | None
    task_bytes: float | None
    """Memory that one worker may take."""
    rates: Rates | None
    steps: dict[str, StepPlan]
    storage_bytes: float
    """That the next run adds, without the state of unfinished tunings."""
    shards: int
    """Ray Train jobs of the tune step."""
    lanes: float
    """Devices at work at once: workers, or the GPUs that they have in all."""
    variants: dict[str, VariantPlan] = field(default_factory=dict)
    """By name; of a run without any its only one."""
    notes: list[str] = field(default_factory=list)
    """What a run would need that is not there."""
    problems: list[str] = field(default_factory=list)
    """Why the run cannot go as configured."""

    @property
    def seconds(self) -> float | None:
        """Of all workers together, with the shards' start-up; none where no rate is known.

        Steps that no formula covers count once the run has rows of them.
        """
        if self.rates is None:
            return None
        known = sum(step.seconds or 0.0 for step in self.steps.values())
        return known + START_SECONDS * self.shards

    @property
    def wall_seconds(self) -> float | None:
        """Until all is done, if all workers can run at once and are equally fast."""
        if self.seconds is None:
            return None
        tune = (self.steps["tune"].seconds or 0.0) + START_SECONDS * self.shards
        return tune / max(min(self.lanes, self.shards), 1) + (self.seconds - tune) / self.lanes


def plan_run(
    state: State, *, device_name: str | None = None, calibration: Path | None = None
) -> RunPlan:
    """Plan the next run.

    Sources are not looked at: a video that is not ingested yet is taken for good.

    Args:
        state: The run's tables, empty where there is no run yet.
        device_name: GPU to plan for instead of this machine's (see ``devices.GPUS``).
        calibration: A benchmark's output to take the rates from.

    Raises:
        UserError: unknown device, unusable calibration, or models that cannot be used so.
    """
    notes = check_models(state.context(), STEPS, planning=True)
    check_sizes(state)
    device = find_device(state.config, device_name)
    limit = task_memory(state.config, device)
    works = {view.name: _Work(view) for view in state.views.values()}
    costs = {name: _Costs(work, device, calibration) for name, work in works.items()}
    first = next(iter(costs.values()))
    tuned = [view.name for view in state.distinct("tune")]
    sampled = [view.name for view in state.distinct("sample")]
    steps = _steps(state, works)
    for step, item in _measured_steps(state).items():
        steps[step].seconds = item * steps[step].todo
    rated = any(one.rates is not None for one in costs.values())
    if rated:
        steps["tune"].seconds = _sum(costs[name].tune_seconds() for name in tuned)
        steps["sample"].seconds = _sum(costs[name].sample_seconds() for name in sampled)
    steps["tune"].peak_bytes = _max(costs[name].tune_bytes() for name in tuned)
    steps["sample"].peak_bytes = _max(costs[name].sample_bytes() for name in sampled)
    notes += [
        f"what {name} ({works[name].view.config.method}) takes is not known: nobody has counted it"
        for name, one in costs.items()
        if one.uncounted
    ]
    return RunPlan(
        videos=len(state.manifest.videos),
        edits=sum(len(entry.edits) for entry in state.manifest.videos),
        device=device,
        task_bytes=limit,
        rates=next((one.rates for one in costs.values() if one.rates is not None), None),
        steps=steps,
        storage_bytes=sum(costs[name].tune_storage() for name in tuned)
        + sum(costs[name].sample_storage() for name in sampled)
        + first.previews(works[first.view.name]),
        shards=sum(costs[name].shards() for name in tuned),
        lanes=_lanes(state.config, device),
        variants={
            name: VariantPlan(
                method=works[name].view.config.method,
                tune_seconds=one.tune_seconds(),
                sample_seconds=one.sample_seconds(),
                tune_bytes=one.tune_bytes(),
                sample_bytes=one.sample_bytes(),
            )
            for name, one in costs.items()
        },
        notes=notes,
        problems=list(dict.fromkeys(_problems(costs.values(), limit))),
    )


def _lanes(config: RunConfig, device: Device | None) -> float:
    settings = config.ray
    if device is not None and not device.is_gpu:
        return settings.workers
    return settings.workers * settings.gpus_per_worker or 1


class _Work:
    """What the next run would compute of each step for one variant, with the size of each clip."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.ingest = self.caption = self.score = 0
        self.ingested: list[VideoConfig] = []
        """Sizes of the clips that the run still has to read."""
        self.tune: list[tuple[VideoConfig, tuple[str, ...]]] = []
        """Videos, and the kinds of stages that are missing."""
        self.sample: list[tuple[VideoConfig, int]] = []
        """Videos with edits to be made, and how many."""
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
            if any((step, name) in lost for step in STEPS[:3]):
                continue
            if name not in view.videos:
                self.ingest += 1
                self.ingested.append(size)
            self.caption += name not in view.captions
            wanted = kinds
            if name in view.stages:
                wanted = tuple(key.kind for key, _ in view.wanted(name))
            if wanted:
                self.tune.append((size, wanted))
            ids = [f"{name}/{edit.name}" for edit in entry.edits]
            ids = [one for one in ids if ("sample", one) not in lost]
            if missing := sum(one not in view.edits for one in ids):
                self.sample.append((size, missing))
            self.score += sum(
                (one, protocol) not in view.scores
                for one in ids
                if ("score", one) not in lost
                for protocol in protocols
            )


class _Costs:
    """What one variant's work takes."""

    def __init__(self, work: _Work, device: Device | None, calibration: Path | None) -> None:
        self.view, self._work = work.view, work
        config = work.view.config
        base = None
        if work.view.method.uses_base:
            base = base_configs(config.model.base, work.view.revisions.base)
        self._base = base
        self._of = functools.cache(functools.partial(VideoCost, config, base))
        clips = work.view.clips
        self.sizes = {clips.video_config(entry) for entry in work.view.manifest.videos}
        with answering(config.method):
            self.uncounted = work.view.method.cost() is None
        self.rates: Rates | None = None
        if base is not None and self.sizes:
            largest = max(self._of(size).train_flops for size in self.sizes)
            self.rates = find_rates(config, device, largest, calibration)

    def tune_seconds(self) -> float | None:
        """Of all videos; none where it is not known."""
        if self.rates is None:
            return None if self._work.view.method.uses_base else 0.0
        return _sum(self._of(size).tune_seconds(self.rates, k) for size, k in self._work.tune)

    def sample_seconds(self) -> float | None:
        """Of all edits; none where it is not known."""
        if self.rates is None:
            return None if self._work.view.method.uses_base else 0.0
        each = [(self._of(size).sample_seconds(self.rates), n) for size, n in self._work.sample]
        return _sum(None if one is None else one * count for one, count in each)

    def tune_bytes(self) -> float | None:
        """Peak of a worker."""
        return _max(self._of(size).tune_bytes() for size in self.sizes)

    def sample_bytes(self) -> float | None:
        """Peak of a worker."""
        return _max(self._of(size).sample_bytes() for size in self.sizes)

    def tune_storage(self) -> float:
        """Bytes of what is prepared."""
        return sum(self._of(size).video_bytes(kinds) for size, kinds in self._work.tune)

    def sample_storage(self) -> float:
        """Bytes of edits."""
        return sum(self._of(size).edit_bytes() * count for size, count in self._work.sample)

    def previews(self, work: _Work) -> float:
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
        for size in sorted(self.sizes, key=lambda one: (one.num_frames, one.width, one.height)):
            yield from problems(self.view.config, self._base, size, limit)


def _sum(values: Iterable[float | None]) -> float | None:
    """The sum of what is known; none where something is there and nothing is known."""
    every = list(values)
    known = [value for value in every if value is not None]
    return sum(known) if known or not every else None


def _max(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _steps(state: State, works: Mapping[str, _Work]) -> dict[str, StepPlan]:
    def todo(step: str) -> int:
        found = [works[view.name] for view in state.distinct(step)]
        if step == "sample":
            return sum(count for work in found for _, count in work.sample)
        if step == "tune":
            return sum(len(work.tune) for work in found)
        return sum(getattr(work, step) for work in found)

    return {
        name: StepPlan(
            total=step.total,
            done=step.done,
            todo=todo(name),
            failed=step.total - step.done - todo(name),
        )
        for name, step in run_status(state).steps.items()
    }


def _measured_steps(state: State) -> Mapping[str, float]:
    """Mean seconds of an item of the steps that no formula covers, from the run's own rows."""
    tables = {"ingest": "videos", "caption": "captions", "score": "scores"}
    means = {}
    for step, table in tables.items():
        rows = read_table(state.store, table, ("seconds",))
        if rows:
            means[step] = sum(row["seconds"] for row in rows) / len(rows)
    return means


def _problems(costs: Iterable[_Costs], limit: float | None) -> Iterator[str]:
    for one in costs if limit is not None else ():
        yield from one.problems(limit or 0.0)
