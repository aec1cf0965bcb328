"""Tuning on Ray Train: shards of videos, each one TorchTrainer with one worker.

A `fit()` costs tens of seconds of start-up, so a shard tunes many videos in turn. What a shard
whose worker died or was told to stop has not done becomes a new shard; a video that was being tuned
goes on from its last checkpoint (``checkpoints.py``).
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from components.errors import TransientError, UserError
from components.log import VideoLog, setup_worker_logging
from components.steps.ledger import Ledger
from components.steps.losses import is_loss, is_worker_death, refusal
from components.steps.notice import heed_draining
from components.steps.preparation import PrepareItem
from components.steps.prepare import PrepareWorker, fail
from components.steps.spread import items_from_json, items_to_json
from components.steps.step import ItemWorker, Outcome, StepContext
from components.storage.writer import RowWriter

logger = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
_POLL_SHARE = 0.1
"""Part of the driver's time that looking at the tables may take."""
_REPORT_SECONDS = 60.0
_QUICK_SECONDS = 5.0
"""A worker that was done sooner is given more videos at once."""
_MAX_LOSSES = 20
"""Shards that may be lost one after the other without a video being done."""


def run_tuning(
    items: Sequence[PrepareItem],
    context: StepContext,
    make_worker: Callable[[StepContext], ItemWorker] = PrepareWorker,
) -> Iterator[Outcome]:
    """Tune and invert videos on Ray Train and yield outcomes as their rows appear.

    Args:
        items: The videos.
        context: Given to ``make_worker``.
        make_worker: Called once in each shard's process.

    Raises:
        UserError: a worker cannot go on, for a reason that no video is to blame for.
        ray.train.TrainingFailedError: a shard met a defect of the program.
    """
    import ray  # 1.5 s that a finished run need not pay

    ledger = Ledger(context.store(), items)
    ledger.poll()  # none of the rows so far is an outcome of what begins now
    waiting = list(_shards(items, context))
    running: dict[Any, list[PrepareItem]] = {}
    losses = _Losses(context)
    pause = _POLL_SECONDS
    while waiting or running:
        while waiting and len(running) < context.config.ray.workers_here:
            shard = waiting.pop(0)
            running[_fit_task().remote(shard, context, make_worker)] = shard
        done, _ = ray.wait(list(running), timeout=pause)
        began = time.monotonic()
        outcomes = ledger.poll()
        pause = max(_POLL_SECONDS, (time.monotonic() - began) / _POLL_SHARE)
        yield from losses.end_with(outcomes)
        for reference in done:
            shard = running.pop(reference)
            loss = _loss(reference)
            yield from losses.end_with(ledger.poll())
            left = ledger.unsettled(shard)
            if loss is None and left:
                # Ray Train may swallow why, such as a disk too full for its own records.
                raise TransientError(
                    f"a tuning shard ended without an outcome for {len(left)} video(s), first "
                    f"{left[0].video_id}: look at its log above, and at the free space in "
                    f"{context.config.run}; what is committed counts, so run again to go on"
                )
            if loss is not None and left:
                alone = left[0] == shard[0] or not context.config.ray.max_restarts
                left = left[losses.count(left[0], loss, alone=alone) :]
                yield from ledger.poll()
                waiting.extend([left] if left else [])


@dataclasses.dataclass(frozen=True, slots=True)
class Loss:
    """How a shard came to an early end."""

    message: str
    of_worker: bool
    """Whether its worker died by itself, and not its node or what looks after it."""


class _Losses:
    """Counts what was lost: of each video, and in a row."""

    def __init__(self, context: StepContext) -> None:
        self._context = context
        self._deaths: Counter[str] = Counter()
        self._in_a_row = 0

    def end_with(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Outcomes are progress: losses before them count no more."""
        self._in_a_row = 0 if outcomes else self._in_a_row
        return outcomes

    def count(self, item: PrepareItem, loss: Loss, *, alone: bool = True) -> int:
        """Count a loss; return how many items it is the end of: 1 when it is too much for this.

        Args:
            item: The first one of the shard without a row.
            loss: How the shard was lost.
            alone: Whether its worker can have been at no other. Else this one may be done and its
                row lost: it is tried again before it is blamed.

        Raises:
            TransientError: nothing but losses.
        """
        self._in_a_row += 1
        log = VideoLog(logger, step="tune", video_id=item.video_id)
        log.warning("its shard was lost: %s", loss.message)
        if self._in_a_row > _MAX_LOSSES:
            raise TransientError(
                f"{self._in_a_row} tuning shards were lost one after the other without a video "
                f"being done, the last of them so: {loss.message}"
            )
        self._deaths[item.item_key] += loss.of_worker
        deaths = self._deaths[item.item_key]
        if deaths <= self._context.config.ray.max_restarts or not (alone and loss.of_worker):
            return 0
        _blame(item, deaths, loss.message, self._context)
        return 1


def _loss(reference: Any) -> Loss | None:
    """How a shard's task ended; raises what it could not go on for, and what the program did."""
    import ray

    try:
        end: Loss | UserError | None = ray.get(reference)
    except Exception as error:
        if not is_loss(error):
            raise
        return Loss(str(error), of_worker=False)  # the task only waits
    if isinstance(end, UserError):
        raise end
    return end


def _shards(items: Sequence[PrepareItem], context: StepContext) -> Iterator[list[PrepareItem]]:
    """Split items evenly: enough shards for all workers, none longer than configured."""
    settings = context.config.ray
    # The runner gives a number; one video each is what is sure to be right without.
    shard_size = settings.videos_per_shard or 1
    count = max(min(settings.workers_here, len(items)), -(-len(items) // shard_size))
    for number in range(count):
        yield list(items[number::count])


def _fit_task() -> Any:
    import ray

    # Ray Train's clean-up inherits it. Without, it looks for the machine's only Ray, in vain when
    # there are two, and what a lost controller held is never given back.
    environment = {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    # The controller that fit() starts does the work; the task itself only waits.
    return ray.remote(num_cpus=0, max_retries=0, runtime_env={"env_vars": environment})(_fit)


def _fit(
    shard: list[PrepareItem], context: StepContext, make_worker: Callable[[StepContext], ItemWorker]
) -> Loss | UserError | None:
    """Run one shard; none means that it went through.

    Returns:
        How it was lost, or what it could not go on for.
    """
    from ray.train import (
        FailureConfig,
        LoggingConfig,
        RunConfig,
        ScalingConfig,
        WorkerGroupError,
    )
    from ray.train.torch import TorchTrainer

    from components.steps.train_backend import NoticingConfig

    settings = context.config.ray
    try:
        filesystem, root = context.store().arrow()
    except (UserError, TransientError) as error:
        return error if isinstance(error, UserError) else Loss(str(error), of_worker=False)
    trainer = TorchTrainer(
        tune_shard,
        train_loop_config={
            "items": items_to_json(shard),
            "context": context,
            "make_worker": make_worker,
        },
        # A worker alone has nobody to talk to, and NCCL would take memory of a GPU that it shares.
        torch_config=NoticingConfig(backend="gloo"),
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
            # The driver counts the deaths of each video; Ray Train knows shards only.
            failure_config=FailureConfig(max_failures=0),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )
    try:
        trainer.fit()
    except Exception as error:
        if (refused := refusal(error)) is not None:
            return refused
        if not is_loss(error):
            raise
        if (refused := _refused_by_store(context)) is not None:
            return refused
        of_worker = isinstance(error, WorkerGroupError) and is_worker_death(error)
        return Loss(str(error), of_worker)
    return None


def _refused_by_store(context: StepContext) -> UserError | None:
    """What the run's store refuses; what pyarrow makes of it in Ray Train looks like a loss."""
    try:
        context.store().stat("run.json")
    except UserError as error:
        return error
    except TransientError:
        pass  # a loss it is
    return None


def tune_shard(train_config: dict[str, Any]) -> None:
    """The training function of one shard, run by Ray Train in its worker."""
    import ray.train

    context: StepContext = train_config["context"]
    setup_worker_logging(context.config, verbose=context.verbose)
    heed_draining(lambda: ray.train.get_preemption_info() is not None)
    items = items_from_json(train_config["items"], PrepareItem)
    reported = time.monotonic()

    def report(item: PrepareItem) -> None:
        """Tell Ray Train's controller that the shard lives; it costs a second or two."""
        nonlocal reported
        if time.monotonic() - reported >= _REPORT_SECONDS:
            ray.train.report({"video_id": item.video_id})
            reported = time.monotonic()

    ledger = Ledger(context.store(), items)
    ledger.poll()
    items = ledger.unsettled(items)
    if not items:
        return
    worker = train_config["make_worker"](context)
    if not context.config.ray.max_restarts:
        worker.commit_each()
    for task in _tasks([ledger.with_made(item) for item in items], context):
        worker(task)
        report(task[-1])


def _tasks(items: Sequence[PrepareItem], context: StepContext) -> Iterator[Sequence[PrepareItem]]:
    """What to give a worker at once: one video, and more and more while they are quick.

    The first is alone, and committed alone: a worker that dies at it dies of no other.
    """
    first, size = 0, 1
    while first < len(items):
        began = time.monotonic()
        yield items[first : first + size]
        first += size
        quick = time.monotonic() - began < _QUICK_SECONDS
        size = min(2 * size, context.config.ray.items_per_task) if quick else 1


def _blame(item: PrepareItem, deaths: int, crash: str, context: StepContext) -> None:
    """Record the failure of the video that was being tuned when its worker died once too often."""
    error = TransientError(
        f"the worker died {deaths} times while at this video: "
        f"{crash} Give it more memory, use fewer frames or tune.gradient_checkpointing=true"
    )
    writer = RowWriter(context.store())
    fail(writer, item, item.item_key, error, context)
    writer.flush()
