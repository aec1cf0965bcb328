"""A run before it runs: what is there, what is left, what that takes, and whether it fits."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from components.config import RunConfig, VideoConfig
from components.plan.devices import Device, find_device
from components.plan.fit import problems, task_memory
from components.plan.rates import Rates, find_rates
from components.plan.shards import START_SECONDS, shard_size
from components.plan.video import BaseConfigs, VideoCost, base_configs
from components.run.current import State
from components.run.plan import Plan
from components.run.status import run_status
from components.steps import STEPS
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
    config = state.config
    notes = check_models(state.context(), STEPS, planning=True)
    base = base_configs(config.model.base, state.revisions.base)
    costs = functools.cache(functools.partial(VideoCost, config, base))
    sizes = {state.video_config(entry) for entry in state.manifest.videos}
    device = find_device(config, device_name)
    largest = max((costs(size) for size in sizes), key=lambda cost: cost.train_flops, default=None)
    rates = find_rates(config, device, largest.train_flops, calibration) if largest else None
    limit = task_memory(config, device)
    work = _Work(state)
    steps = _steps(state, work)
    for step, item in _measured_steps(state).items():
        steps[step].seconds = item * steps[step].todo
    per_video: list[float] = []
    if rates is not None:
        per_video = [costs(video).tune_seconds(rates, tuned=tuned) for video, tuned in work.tune]
        steps["tune"].seconds = sum(per_video)
        steps["sample"].seconds = sum(costs(v).sample_seconds(rates) * n for v, n in work.sample)
    if largest is not None:
        steps["tune"].peak_bytes = max(costs(size).tune_bytes() for size in sizes)
        steps["sample"].peak_bytes = max(costs(size).sample_bytes() for size in sizes)
    size = shard_size(config, sum(per_video) / len(per_video) if per_video else None)
    return RunPlan(
        videos=len(state.manifest.videos),
        edits=sum(len(entry.edits) for entry in state.manifest.videos),
        device=device,
        task_bytes=limit,
        rates=rates,
        steps=steps,
        storage_bytes=sum(costs(video).video_bytes() for video, tuned in work.tune if not tuned)
        + sum(costs(video).edit_bytes() * count for video, count in work.sample),
        shards=-(-len(work.tune) // size),
        lanes=_lanes(config, device),
        notes=notes,
        problems=[] if limit is None else [*_problems(config, base, sizes, limit)],
    )


def _lanes(config: RunConfig, device: Device | None) -> float:
    settings = config.ray
    if device is not None and not device.is_gpu:
        return settings.workers
    return settings.workers * settings.gpus_per_worker or 1


class _Work:
    """What the next run would compute of each step, with the size of each clip."""

    def __init__(self, state: State) -> None:
        self.ingest = self.caption = self.score = 0
        self.tune: list[tuple[VideoConfig, bool]] = []
        """Videos, and whether only the inversion is missing."""
        self.sample: list[tuple[VideoConfig, int]] = []
        """Videos with edits to be sampled, and how many."""
        plan = Plan(state)
        lost = {
            (row["step"], row["edit_id"] or row["video_id"])
            for row in state.open_failures
            if plan.attempt(row["step"], row["item_key"], row["edit_id"] or row["video_id"]) is None
        }
        protocols = state.config.score.protocols
        for entry in state.manifest.videos:
            name, size = entry.video_id, state.video_config(entry)
            if any((step, name) in lost for step in STEPS[:3]):
                continue
            self.ingest += name not in state.videos
            self.caption += name not in state.captions
            if name not in state.adapters or name not in state.latents:
                self.tune.append((size, name in state.adapters))
            ids = [f"{name}/{edit.name}" for edit in entry.edits]
            ids = [one for one in ids if ("sample", one) not in lost]
            if missing := sum(one not in state.edits for one in ids):
                self.sample.append((size, missing))
            self.score += sum(
                (one, protocol) not in state.scores
                for one in ids
                if ("score", one) not in lost
                for protocol in protocols
            )


def _steps(state: State, work: _Work) -> dict[str, StepPlan]:
    todo = {
        "ingest": work.ingest,
        "caption": work.caption,
        "tune": len(work.tune),
        "sample": sum(count for _, count in work.sample),
        "score": work.score,
    }
    return {
        name: StepPlan(
            total=step.total,
            done=step.done,
            todo=todo[name],
            failed=step.total - step.done - todo[name],
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


def _problems(
    config: RunConfig, base: BaseConfigs, sizes: set[VideoConfig], limit: float
) -> Iterator[str]:
    for size in sorted(sizes, key=lambda video: (video.num_frames, video.width, video.height)):
        yield from problems(config, base, size, limit)
