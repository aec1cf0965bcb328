"""One step alone: its items go to a pool of Ray Data, long tunings to Ray Train."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from components.run.cluster import workers_of
from components.steps.ingest import IngestWorker
from components.steps.spread import run_items
from components.steps.step import ItemWorker, Outcome, StepContext

MakeWorker = Callable[[StepContext], ItemWorker]
"""Called in each of a step's processes."""


def spread_step(
    step: str, items: list[Any], context: StepContext, make_worker: MakeWorker
) -> Iterator[Outcome]:
    """Spread a step's items over Ray, which runs, and yield outcomes as they come.

    Args:
        step: By name.
        items: Of the step.
        context: Given to the workers.
        make_worker: Called in each process.
    """
    config = context.config
    long = [item for item in items if step == "tune" and item.long]
    short = [item for item in items if step != "tune" or not item.long]
    gpus = 0 if step == "ingest" else config.ray.gpus_per_worker
    settings = dataclasses.replace(config.ray, workers=workers_of(config.ray))
    context = dataclasses.replace(context, config=dataclasses.replace(config, ray=settings))
    if step in ("tune", "sample"):
        from components.plan.memory import with_memory

        context = with_memory(context, items)
    if long:
        from components.plan.shards import with_shard_size
        from components.steps.shards import run_tuning

        yield from run_tuning(long, with_shard_size(context, long), make_worker)
    if short:
        groups = _groups(step, short, config.caption.batch_size)
        yield from run_items(groups, make_worker, context, num_gpus=gpus)


def _groups(step: str, items: list[Any], batch: int) -> list[list[Any]]:
    """Items that one worker should have: a batch for BLIP-2, the protocols of one edit."""
    if step == "score":
        edits = itertools.groupby(items, key=lambda item: item.edit_id)
        return [list(group) for _, group in edits]
    size = batch if step == "caption" else 1
    return [items[first : first + size] for first in range(0, len(items), size)]


def own_workers() -> Mapping[str, MakeWorker]:
    """What does each step's work, by step."""
    from components.steps.caption import CaptionWorker
    from components.steps.control import ControlWorker
    from components.steps.prepare import PrepareWorker
    from components.steps.sample import SampleWorker
    from components.steps.score import ScoreWorker

    workers = (
        *(IngestWorker, CaptionWorker, ControlWorker),
        *(PrepareWorker, SampleWorker, ScoreWorker),
    )
    return {worker.step: worker for worker in workers}
