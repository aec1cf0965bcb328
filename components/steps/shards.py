"""Tuning on Ray Train: shards of videos, each one TorchTrainer with one warm worker.

A `fit()` costs tens of seconds of start-up, so a shard tunes many videos in turn. A shard whose
worker dies is started again by Ray Train and skips what is committed; a video that was being tuned
goes on from its last checkpoint in the run's store.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

from components.errors import TransientError
from components.log import setup_worker_logging
from components.steps.step import Outcome, StepContext, record_failure
from components.steps.tune import TuneItem, TuneWorker
from components.storage.schemas import CONTENT
from components.storage.store import Store
from components.storage.tables import Row, read_commits

_POLL_SECONDS = 1.0


def run_tuning(items: Sequence[TuneItem], context: StepContext) -> Iterator[Outcome]:
    """Tune and invert videos on Ray Train and yield outcomes as their rows appear.

    Raises:
        ray.train.TrainingFailedError: a shard met a defect of the program.
    """
    import ray  # 1.5 s that a finished run need not pay

    ledger = _Ledger(context.store())
    ledger.forget()
    waiting = list(_shards(items, context))
    running: dict[Any, list[TuneItem]] = {}
    while waiting or running:
        while waiting and len(running) < context.config.ray.workers:
            shard = waiting.pop(0)
            running[_fit_task().remote(shard, context)] = shard
        done, _ = ray.wait(list(running), timeout=_POLL_SECONDS)
        yield from ledger.poll()
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
    # The runner gives a number; one video each is what is sure to be right without.
    shard_size = settings.videos_per_shard or 1
    count = max(min(settings.workers, len(items)), -(-len(items) // shard_size))
    for number in range(count):
        yield list(items[number::count])


def _fit_task() -> Any:
    import ray

    # The controller that fit() starts does the work; the task itself only waits.
    return ray.remote(num_cpus=0, max_retries=0)(_fit)


def _fit(shard: list[TuneItem], context: StepContext) -> str | None:
    """Run one shard; return a message when its worker died too often, none when it went through."""
    import ray.exceptions
    from ray.train import (
        FailureConfig,
        LoggingConfig,
        RunConfig,
        ScalingConfig,
        WorkerGroupError,
    )
    from ray.train.torch import TorchConfig, TorchTrainer

    settings = context.config.ray
    filesystem, root = context.store().arrow()
    trainer = TorchTrainer(
        tune_shard,
        train_loop_config={
            "items": json.dumps([dataclasses.asdict(item) for item in shard]),
            "context": context,
        },
        # A worker alone has nobody to talk to, and NCCL would take memory of a GPU that it shares.
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(
            num_workers=1,
            use_gpu=settings.gpus_per_worker > 0,
            accelerator_type=settings.accelerator_type,
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
        # A death is found by a health check, whose error carries Ray's own.
        failures = [
            getattr(failure, "health_check_failure", failure)
            for failure in error.worker_failures.values()
        ]
        if all(isinstance(failure, died) for failure in failures):
            return str(error)
        raise
    return None


def tune_shard(train_config: dict[str, Any]) -> None:
    """The training function of one shard, run by Ray Train in its worker."""
    import ray.train

    context: StepContext = train_config["context"]
    setup_worker_logging(context.config)
    worker: TuneWorker | None = None
    items = [TuneItem(**fields) for fields in json.loads(train_config["items"])]
    ledger = _Ledger(context.store())
    ledger.poll()
    for item in ledger.unsettled(items):
        worker = worker or TuneWorker(context)
        outcome = worker(item)
        # Tells Ray Train's controller that the shard lives; it costs a second or two.
        ray.train.report({"video_id": outcome.video_id, "failed": outcome.error is not None})


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
    record_failure(context.store(), "tune", item, error, context)
