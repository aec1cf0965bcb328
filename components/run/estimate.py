"""A run before it runs: what is there, what is left, what that takes, and whether it fits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.compute as pc

from components.config import RunConfig
from components.plan.devices import Device, find_device
from components.plan.fit import task_memory
from components.plan.rates import Rates
from components.plan.shards import START_SECONDS
from components.run.costs import VariantCosts, VariantWork, known_max, known_sum
from components.run.current import State
from components.run.sizes import check_sizes
from components.steps import STEPS
from components.steps.models import check_models
from components.storage.tables import read_arrow
from eval.protocols.registry import reads_mask


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
    """Ray Train jobs of the tune step; none where a flow's processes do it (`ray.flow`)."""
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
        apart = self.shards or self.steps["tune"].todo
        return tune / max(min(self.lanes, apart), 1) + (self.seconds - tune) / self.lanes

    @property
    def busy(self) -> float | None:
        """The part of the workers' time that is work, 0 to 1, if all goes as planned."""
        if not self.seconds or not self.wall_seconds:
            return None
        return self.seconds / (self.lanes * self.wall_seconds)


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
    works = {view.name: VariantWork(view) for view in state.views.values()}
    for part in state.portions():
        for name, view in part.views.items():
            works[name].add(view)
    costs = {name: VariantCosts(work, device, calibration) for name, work in works.items()}
    first = next(iter(costs.values()))
    tuned = [view.name for view in state.distinct("tune")]
    sampled = [view.name for view in state.distinct("sample")]
    steps = _steps(state, works)
    for step, item in _measured_steps(state).items():
        steps[step].seconds = item * steps[step].todo
    rated = any(one.rates is not None for one in costs.values())
    if rated:
        steps["tune"].seconds = known_sum(costs[name].tune_seconds() for name in tuned)
        steps["sample"].seconds = known_sum(costs[name].sample_seconds() for name in sampled)
    steps["tune"].peak_bytes = known_max(costs[name].tune_bytes() for name in tuned)
    made = [view.name for view in state.distinct("control")]
    steps["control"].peak_bytes = known_max(costs[name].control_bytes() for name in made)
    steps["sample"].peak_bytes = known_max(costs[name].sample_bytes() for name in sampled)
    notes += [
        f"what {name} ({works[name].view.config.method}) takes is not known: nobody has counted it"
        + ("" if one.weights is None else f"; its weights alone take {one.weights / 1e9:.1f} GB")
        for name, one in costs.items()
        if one.uncounted
    ]
    notes += [f"{name}: {note}" for name, one in costs.items() for note in one.notes]
    notes += _unmasked(state)
    return RunPlan(
        videos=len(state.manifest.videos),
        edits=sum(len(entry.edits) for entry in state.manifest.videos),
        device=device,
        task_bytes=limit,
        rates=next((one.rates for one in costs.values() if one.rates is not None), None),
        steps=steps,
        storage_bytes=sum(costs[name].tune_storage() for name in tuned)
        + sum(costs[name].sample_storage() for name in sampled)
        + sum(costs[name].control_storage() for name in made)
        + first.previews(works[first.view.name]),
        shards=0 if state.config.ray.flow else sum(costs[name].shards() for name in tuned),
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


def _unmasked(state: State) -> list[str]:
    """Which protocols will have no value of videos without a mask."""
    asked = [name for name in state.config.score.protocols if reads_mask(name)]
    videos = state.manifest.videos
    bare = sum(entry.mask is None for entry in videos)
    if not asked or not bare:
        return []
    told = (
        f"{bare} of {len(videos)} video(s) have no mask, so that {', '.join(asked)} will have no "
        "value of their edits: give them one in the manifest (mask)"
    )
    return [told]


def _lanes(config: RunConfig, device: Device | None) -> float:
    settings = config.ray
    if device is not None and not device.is_gpu:
        return settings.workers_here
    return settings.workers_here * settings.gpus_per_worker or 1


def _steps(state: State, works: Mapping[str, VariantWork]) -> dict[str, StepPlan]:
    def todo(step: str) -> int:
        found = [works[view.name] for view in state.distinct(step)]
        if step == "sample":
            return sum(count for work in found for _, count in work.sample)
        if step == "tune":
            return sum(len(work.tune) for work in found)
        if step == "control":
            return sum(len(work.control) for work in found)
        return sum(getattr(work, step) for work in found)

    return {
        name: StepPlan(
            total=step.total,
            done=step.done,
            todo=todo(name),
            failed=step.total - step.done - todo(name),
        )
        for name, step in state.status().steps.items()
    }


def _measured_steps(state: State) -> Mapping[str, float]:
    """Mean seconds of an item of the steps that no formula covers, from the run's own rows."""
    tables = {
        "ingest": "videos",
        "caption": "captions",
        "control": "controls",
        "score": "scores",
    }
    means = {}
    for step, table in tables.items():
        rows = read_arrow(state.store, table, ("seconds",))
        if len(rows):
            means[step] = pc.mean(rows["seconds"]).as_py()
    return means


def _problems(costs: Iterable[VariantCosts], limit: float | None) -> Iterator[str]:
    for one in costs if limit is not None else ():
        yield from one.problems(limit or 0.0)
