"""Tuning on Ray Train: shards of videos, each one TorchTrainer with one warm worker.

A `fit()` costs tens of seconds of start-up, so a shard tunes many videos in turn. A shard whose
worker dies is started again by Ray Train and skips what is committed; a video that was being tuned
goes on from its last checkpoint in the run's store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from components.errors import TransientError
from components.keys import content_key
from components.log import setup_worker_logging
from components.steps.spread import items_from_json, items_to_json
from components.steps.step import ItemWorker, Outcome, StepContext, record_failure
from components.steps.tune import TuneItem, TuneWorker
from components.storage.schemas import CONTENT
from components.storage.store import Store
from components.storage.tables import Row, read_commits
from components.storage.writer import RowWriter

_POLL_SECONDS = 1.0
_POLL_SHARE = 0.1
"""Part of the driver's time that looking at the tables may take."""
_REPORT_SECONDS = 60.0


def run_tuning(
    items: Sequence[TuneItem],
    context: StepContext,
    make_worker: Callable[[StepContext], ItemWorker] = TuneWorker,
) -> Iterator[Outcome]:
    """Tune and invert videos on Ray Train and yield outcomes as their rows appear.

    Args:
        items: The videos.
        context: Given to ``make_worker``.
        make_worker: Called once in each shard's process.

    Raises:
        ray.train.TrainingFailedError: a shard met a defect of the program.
    """
    import ray  # 1.5 s that a finished run need not pay

    ledger = _Ledger(context.store())
    ledger.forget()
    waiting = list(_shards(items, context))
    running: dict[Any, list[TuneItem]] = {}
    pause = _POLL_SECONDS
    while waiting or running:
        while waiting and len(running) < context.config.ray.workers:
            shard = waiting.pop(0)
            running[_fit_task().remote(shard, context, make_worker)] = shard
        done, _ = ray.wait(list(running), timeout=pause)
        began = time.monotonic()
        yield from ledger.poll()
        pause = max(_POLL_SECONDS, (time.monotonic() - began) / _POLL_SHARE)
        for reference in done:
            shard = running.pop(reference)
            crash = ray.get(reference)  # raises what the program did wrong
            yield from ledger.poll()
            if crash is not None and (left := ledger.unsettled(shard)):
                _blame(left[0], crash, context)
                yield from ledger.poll()
                waiting.extend([left[1:]] if left[1:] else [])


def _shards(items: Sequence[TuneItem], context: StepContext) -> Iterator[list[TuneItem]]:
    """Split items evenly: enough shards for all workers, none longer than configured."""
    settings = context.config.ray
    count = max(min(settings.workers, len(items)), -(-len(items) // settings.videos_per_shard))
    for number in range(count):
        yield list(items[number::count])


def _fit_task() -> Any:
    import ray

    # The controller that fit() starts does the work; the task itself only waits.
    return ray.remote(num_cpus=0, max_retries=0)(_fit)


def _fit(
    shard: list[TuneItem], context: StepContext, make_worker: Callable[[StepContext], ItemWorker]
) -> str | None:
    """Run one shard; return a message when its worker died too often, none when it went through."""
    import ray.exceptions
    from ray.train import (
        FailureConfig,
        LoggingConfig,
        RunConfig,
        ScalingConfig,
        WorkerGroupError,
    )
    from ray.train.torch import TorchTrainer

    settings = context.config.ray
    filesystem, root = context.store().arrow()
    trainer = TorchTrainer(
        tune_shard,
        train_loop_config={
            "items": items_to_json(shard),
            "context": context,
            "make_worker": make_worker,
        },
        scaling_config=ScalingConfig(
            num_workers=1,
            use_gpu=settings.gpus_per_worker > 0,
            resources_per_worker={
                "CPU": settings.cpus_per_worker,
                **({"GPU": settings.gpus_per_worker} if settings.gpus_per_worker else {}),
            },
        ),
        run_config=RunConfig(
            storage_filesystem=filesystem,
            storage_path=f"{root}/ray-train",
            failure_config=FailureConfig(max_failures=settings.max_restarts),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )
    try:
        trainer.fit()
    except WorkerGroupError as error:
        died = (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError)
        if all(isinstance(failure, died) for failure in error.worker_failures.values()):
            return str(error)
        raise
    return None


def tune_shard(train_config: dict[str, Any]) -> None:
    """The training function of one shard, run by Ray Train in its worker."""
    import ray.train

    setup_worker_logging()
    context: StepContext = train_config["context"]
    ledger = _Ledger(context.store())
    ledger.poll()
    items = ledger.unsettled(items_from_json(train_config["items"], TuneItem))
    if not items:
        return
    worker: ItemWorker = train_config["make_worker"](context)
    if not context.config.ray.max_restarts or _begun_before(context.store(), train_config["items"]):
        worker.commit_each()
    reported = time.monotonic()
    size = context.config.ray.items_per_task
    for first in range(0, len(items), size):
        worker(items[first : first + size])
        # Tells Ray Train's controller that the shard lives; it costs a second or two.
        if time.monotonic() - reported >= _REPORT_SECONDS:
            ray.train.report({"settled": first + size})
            reported = time.monotonic()


def _begun_before(store: Store, shard: str) -> bool:
    """Whether another worker began this shard, given as JSON, and died; note that this one does."""
    path = f"ray-train/begun/{content_key(shard=shard)}"
    if store.stat(path) is not None:
        return True
    store.write_bytes(path, b"")
    return False


class _Ledger:
    """Follows the tables: a new row of `latents` or `failures` is an outcome of this step."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, set[str]] = {}
        self._done: set[tuple[str, str, str]] = set()
        self._attempts: dict[tuple[str, str], int] = {}
        self._tuned: dict[str, float] = {}

    def poll(self) -> list[Outcome]:
        """Read parts that are new since the last call."""
        outcomes = []
        for row in self._new_rows("adapters", ("video_id", "adapter_key", "seconds")):
            self._tuned[row["adapter_key"]] = row["seconds"]
        names = ("video_id", "adapter_key", "inversion")
        for row in self._new_rows("latents", (*names, "seconds", CONTENT["latents"])):
            if row[CONTENT["latents"]] is None:  # withdrawn: to be done anew
                self._done.discard((row["video_id"], row["adapter_key"], row["inversion"]))
                continue
            self._done.add((row["video_id"], row["adapter_key"], row["inversion"]))
            # With the time of the tuning, unless that was done in an earlier run.
            seconds = row["seconds"] + self._tuned.pop(row["adapter_key"], 0.0)
            outcomes.append(Outcome(row["video_id"], None, seconds))
        for row in self._new_rows("failures", None):
            if row["step"] == "tune":
                self._attempts[row["video_id"], row["item_key"]] = row["attempt"]
                error = f"{row['error_type']}: {row['message']}"
                outcomes.append(Outcome(row["video_id"], None, 0.0, error))
        return outcomes

    def forget(self) -> None:
        """Take all rows so far as old: none of them is an outcome of what begins now."""
        self.poll()
        self._tuned.clear()

    def unsettled(self, items: Sequence[TuneItem]) -> list[TuneItem]:
        """Items that have neither a row nor a failure of the present attempt."""
        return [
            item
            for item in items
            if (item.video_id, item.item_key, item.inversion) not in self._done
            and self._attempts.get((item.video_id, item.item_key), 0) < item.attempt
        ]

    def _new_rows(self, table: str, columns: Sequence[str] | None) -> Iterator[Row]:
        known = self._known.setdefault(table, set())
        for _, rows in read_commits(self._store, table, columns, known):
            yield from rows


def _blame(item: TuneItem, crash: str, context: StepContext) -> None:
    """Record the failure of the video that was being tuned when its worker died once too often."""
    error = TransientError(
        f"the worker died {context.config.ray.max_restarts + 1} times while at this video: "
        f"{crash} Give it more memory, use fewer frames or tune.gradient_checkpointing=true"
    )
    writer = RowWriter(context.store())
    record_failure(writer, "tune", item, error, context)
    writer.flush()
