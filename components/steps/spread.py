"""Spreads a step's items over an actor pool of Ray Data, many to a task."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from components.errors import TransientError, UserError
from components.steps.step import ItemWorker, Outcome, StepContext

_ROUNDS = 4
"""A task takes at most this part of what each worker has still to do."""
STOPPING: dict[str, type[UserError | TransientError]] = {
    "UserError": UserError,
    "TransientError": TransientError,
}
"""What stops a worker and is no item's fault, such as a full disk or a bucket that refuses."""


def run_items(
    groups: Sequence[Sequence[Any]],
    make_worker: Callable[[StepContext], ItemWorker],
    context: StepContext,
    *,
    num_gpus: float = 0,
) -> Iterator[Outcome]:
    """Spread items over an actor pool of Ray Data and yield outcomes as they come.

    Args:
        groups: Items that must meet the same worker one after the other; frozen dataclasses of
            one type, whose fields are JSON values.
        make_worker: Called once in each actor.
        context: Given to ``make_worker``.
        num_gpus: GPUs of each actor.

    Raises:
        UserError: a worker cannot go on, for a reason that no item is to blame for.
        TransientError: likewise, but a later run may fare better.
    """
    import ray.data  # 4 s that a finished run need not pay

    # The driver shows its own progress, and Ray Data's plans mean nothing to a user.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    data_context = ray.data.DataContext.get_current()
    data_context.enable_progress_bars = False
    # A task of many slow edits, or a wait for machines, may outlast any limit (Ray's: 30 minutes).
    data_context.execution_no_progress_timeout_s = -1
    settings = context.config.ray
    tasks = deal(groups, settings.workers_here, settings.items_per_task)
    rows = [{"items": items_to_json(task)} for task in tasks]
    pool = min(settings.workers_here, len(rows))
    outcomes = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        StepActor,
        fn_constructor_args=(make_worker, type(groups[0][0]), context, time.time_ns()),
        batch_size=1,
        batch_format="numpy",
        # A pool of fixed size hangs when an actor dies (ray#62746): let it have room to grow.
        compute=ray.data.ActorPoolStrategy(min_size=pool, max_size=pool + 1),
        num_cpus=settings.cpus_per_worker,
        num_gpus=num_gpus,
        # Ray takes a kind only of a worker with a GPU.
        **({"accelerator_type": settings.accelerator_type} if num_gpus else {}),
    )
    for row in outcomes.iter_rows():
        yield from outcomes_from_json(row["outcomes"])


def deal(groups: Sequence[Sequence[Any]], workers: int, most: int) -> list[list[Any]]:
    """Deal groups of items into tasks, in order: long ones first, single groups at the end.

    So (guided self-scheduling) a task's own cost is paid seldom, and yet no worker is left with
    much to do when the others have finished.

    Args:
        groups: None is torn apart.
        workers: Who work side by side.
        most: Items of a task, unless one group has more.
    """
    left = sum(map(len, groups))
    tasks: list[list[Any]] = []
    task: list[Any] = []
    for group in groups:
        if task and len(task) + len(group) > most:
            tasks.append(task)
            left -= len(task)
            task = []
        task.extend(group)
        if len(task) >= min(most, math.ceil(left / (_ROUNDS * workers))):
            tasks.append(task)
            left -= len(task)
            task = []
    return [*tasks, task] if task else tasks


class StepActor:
    """Adapts a worker to an actor: items travel as JSON, so no type is guessed on the way.

    What stops a worker travels so, too: as an exception it would arrive wrapped and without cause.
    """

    def __init__(
        self,
        make: Callable[[StepContext], ItemWorker],
        item_type: type,
        context: StepContext,
        began: int,
    ) -> None:
        from components.log import setup_worker_logging  # runs in the actor

        setup_worker_logging(context.config, verbose=context.verbose)
        self._worker: ItemWorker | None = None
        self._item_type = item_type
        self._stopped: Exception | None = None
        try:
            worker = make(context)
            worker.skip_committed(began)
            if _follows_a_dead_one():
                worker.commit_each()
            self._worker = worker
        except tuple(STOPPING.values()) as error:
            self._stopped = error

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Compute a batch of Ray Data, which holds one task."""
        (task,) = batch["items"]
        return {"outcomes": [self.compute(task)]}

    def compute(self, task: str) -> str:
        """Compute the items of a task; see ``outcomes_from_json``."""
        if self._worker is not None:
            try:
                outcomes = self._worker(items_from_json(task, self._item_type))
            except tuple(STOPPING.values()) as error:
                self._stopped = error
            else:
                return items_to_json(outcomes)
        kind = next(name for name, kind in STOPPING.items() if isinstance(self._stopped, kind))
        return json.dumps({"stopped": kind, "message": str(self._stopped)})


def outcomes_from_json(text: str) -> list[Outcome]:
    """What a task returned; raises what stopped its worker."""
    found = json.loads(text)
    if isinstance(found, dict):
        raise STOPPING[found["stopped"]](found["message"])
    return [Outcome(**fields) for fields in found]


def _follows_a_dead_one() -> bool:
    """Whether Ray has started this process's actor again."""
    import ray

    if not ray.is_initialized():  # asked for its context, it would start
        return False
    context = ray.get_runtime_context()
    if context.get_actor_id() is None:
        return False
    with warnings.catch_warnings(action="ignore"):  # Ray's own use of what it has deprecated
        return bool(context.was_current_actor_reconstructed)


def items_to_json(items: Sequence[Any]) -> str:
    """Flat dataclasses of JSON values as text."""
    # Not asdict(), which copies every value in depth.
    names = [field.name for field in dataclasses.fields(items[0])] if items else []
    return json.dumps([{name: getattr(item, name) for name in names} for item in items])


def items_from_json(text: str, item_type: type) -> list[Any]:
    """The inverse of ``items_to_json``."""
    return [item_type(**fields) for fields in json.loads(text)]
