"""The driver's loop: what can be computed is given to whoever is free, until nothing is left."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from components.config import RunConfig
from components.errors import TransientError
from components.log import VideoLog
from components.plan.memory import clip_size, with_memory
from components.run.cluster import Cluster
from components.run.current import State
from components.run.flow.jobs import Job, Jobs
from components.run.flow.pool import Pool, Worker
from components.run.flow.process import Task, done_from_json
from components.run.flow.ready import Ready
from components.run.flow.tidy import Tidying
from components.run.metrics import Busy
from components.steps.editing import EditWork
from components.steps.losses import is_loss, is_worker_death
from components.steps.prepare import fail
from components.steps.spread import items_to_json
from components.steps.step import ItemWorker, Outcome, StepContext, record_failure
from components.storage.tables import ReadArrow
from components.storage.writer import RowWriter

logger = logging.getLogger(__name__)

_MAX_LOSSES = 20
"""Workers that may be lost one after the other without a job being done."""
_LOOK_SHARE = 0.1
"""Part of the driver's time that looking at the tables may take while all workers are busy."""
_IDLE_SHARE = 0.5
"""Likewise while one is idle."""
_LONGEST_WAIT = 5.0
"""Seconds between two looks at what goes on."""


class Flow:
    """One way through a run: each piece of work is tried once, but for workers that are lost."""

    def __init__(
        self,
        config: RunConfig,
        context: StepContext,
        state_of: Callable[[ReadArrow], State],
        workers: Mapping[str, Callable[[StepContext], ItemWorker]],
        steps: Sequence[str],
        *,
        retry_failed: bool = False,
    ) -> None:
        """Begin nothing yet.

        Args:
            config: Of the run.
            context: Of the steps.
            state_of: Makes a reading of the run's tables.
            workers: What does each step's work.
            steps: That are asked for, in order.
            retry_failed: Also try what failed for good.
        """
        self._config, self._settings = config, config.ray
        self._context = context
        self._contexts: dict[Any, StepContext] = {}
        self._makers = workers
        self._store = context.store()
        self._jobs = Jobs(config)
        self._ready = Ready(state_of, self._store, steps, self._jobs, retry_failed=retry_failed)
        gpus = config.ray.gpus_per_worker
        # What needs no GPU must not hold one.
        kinds = [["ingest"], [*steps][1:]] if gpus and steps[0] == "ingest" else [[*steps]]
        self._pools = [Pool(kind, config.ray, 0 if "ingest" in kind else gpus) for kind in kinds]
        self._deaths: Counter[Any] = Counter()
        self._losses = 0
        self._news = True
        self._look_at = 0.0

    @property
    def missing(self) -> Mapping[str, int]:
        """By step, how many items failed as what they read is not there."""
        return self._ready.missing

    def look(self) -> bool:
        """Read the tables; return whether there is anything to do."""
        began = time.monotonic()
        there = sum(len(pool.workers) for pool in self._pools)
        left = self._ready.offer(max(there, self._settings.workers_here))
        self._news = False
        now = time.monotonic()
        idle = any(True for pool in self._pools for _ in pool.idle())
        share = _IDLE_SHARE if idle else _LOOK_SHARE
        self._look_at = now + (now - began) / share
        return left

    def run(self, cluster: Cluster) -> Iterator[tuple[str, Outcome]]:
        """Compute all that can be, and yield outcomes with their steps as they come.

        Args:
            cluster: Where, started.

        Raises:
            UserError: a worker cannot go on, for a reason that no item is to blame for.
            TransientError: nothing but losses.
        """
        busy, tidying = Busy(self._config), Tidying(self._store)
        try:
            yield from self._run(busy, tidying)
        finally:
            tidying.close()
            if not cluster.lost:  # else Ray may never answer, and all is gone
                busy.tell({})
                for pool in self._pools:
                    pool.close()

    def _run(self, busy: Busy, tidying: Tidying) -> Iterator[tuple[str, Outcome]]:
        import ray

        while self._busy or self._waiting or self.look():
            tidying.tick()
            for pool in self._pools:
                pool.grow(self._jobs)
                self._give(pool)
            busy.tell(Counter(job.step for job in self._at_work))
            references = {
                worker.reference: (pool, worker)
                for pool in self._pools
                for worker in pool.workers
                if worker.reference is not None
            }
            if references:
                ray.wait([*references], timeout=self._pause())
                done, _ = ray.wait([*references], num_returns=len(references), timeout=0)
                for reference in done:
                    yield from self._end(*references[reference])
            idle = not (self._busy or self._waiting)
            if self._news and (idle or time.monotonic() >= self._look_at):
                self.look()
                yield from self._jobs.found_done()

    @property
    def _at_work(self) -> list[Job]:
        workers = (worker for pool in self._pools for worker in pool.workers)
        return [worker.job for worker in workers if worker.job is not None]

    @property
    def _busy(self) -> bool:
        return bool(self._at_work)

    @property
    def _waiting(self) -> bool:
        return any(self._jobs.waiting(pool.steps) for pool in self._pools)

    def _pause(self) -> float:
        if not self._news:
            return _LONGEST_WAIT
        return min(max(self._look_at - time.monotonic(), 0.0), _LONGEST_WAIT)

    def _give(self, pool: Pool) -> None:
        """Give each idle worker a job."""
        for worker in pool.idle():
            job = self._jobs.take(pool.steps, worker.held, len(pool.workers))
            if job is None:
                if pool.steps == ("ingest",) and not any(j.step == "ingest" for j in self._at_work):
                    pool.shrink(self._jobs)
                return
            worker.give(job, self._task(job))

    def _task(self, job: Job) -> Task:
        follow = self._one(job.follow, "sample", alone=False) if job.follow else None
        alone = job.alone or not self._settings.max_restarts
        return self._one(job.items, job.step, alone=alone, follow=follow)

    def _one(self, items: list[Any], step: str, *, alone: bool, follow: Task | None = None) -> Task:
        return Task(
            step=step,
            make=self._makers[step],
            context=self._context_of(step, items),
            kind=type(items[0]),
            items=items_to_json(items),
            alone=alone,
            follow=follow,
        )

    def _context_of(self, step: str, items: list[Any]) -> StepContext:
        if step not in ("tune", "sample"):
            return self._context
        asked = frozenset(
            (item.variant, clip_size(self._context.config, item), len(getattr(item, "edits", "")))
            for item in items
        )
        if asked not in self._contexts:
            self._contexts[asked] = with_memory(self._context, items)
        return self._contexts[asked]

    def _end(self, pool: Pool, worker: Worker) -> Iterator[tuple[str, Outcome]]:
        """Take what a worker has to say: that it is there, or what became of its job."""
        import ray

        if worker.job is None:
            pool.started(worker)
            return
        job, worker.job = worker.job, None
        self._news = True
        try:
            found = done_from_json(ray.get(worker.reference))
        except BaseException as error:
            if not is_loss(error):
                raise
            worker.reference = None
            pool.end(worker)
            yield from self._lost(job, error)
            return
        worker.reference, self._losses = None, 0
        seconds = sum(one.seconds for one in found[job.step])
        self._jobs.done(job, seconds, followed="sample" in found)
        for step, outcomes in found.items():
            for outcome in outcomes:
                yield step, outcome

    def _lost(self, job: Job, error: BaseException) -> Iterator[tuple[str, Outcome]]:
        """Take back what a lost worker was at; what it died at too often is a failure.

        Raises:
            TransientError: nothing but losses.
        """
        self._losses += 1
        message = f"{type(error).__name__}: {error}".strip()
        log = VideoLog(logger, step=job.step, video_id=job.items[0].video_id)
        log.warning("its worker was lost: %s", message)
        if self._losses > _MAX_LOSSES:
            raise TransientError(
                f"{self._losses} workers were lost one after the other without a job being done, "
                f"the last of them so: {message}"
            ) from error
        deadly = is_worker_death(error)
        self._jobs.lost(job, deadly=deadly)
        if not deadly or not job.single:
            return
        key = frozenset(job.pieces)
        self._deaths[key] += 1
        if self._deaths[key] > self._settings.max_restarts:
            yield from self._blame(job, self._deaths[key], message)

    def _blame(self, job: Job, deaths: int, message: str) -> Iterator[tuple[str, Outcome]]:
        """Record the failure of what workers died at."""
        self._jobs.failed(job)
        (item,) = job.items
        error = TransientError(
            f"the worker died {deaths} times while at this video: {message} Give it more memory, "
            "use fewer frames or tune.gradient_checkpointing=true"
        )
        writer = RowWriter(self._store)
        context = self._context
        if job.step == "tune":
            yield job.step, fail(writer, item, item.item_key, error, context)
        else:
            item = EditWork(**item.edits[0]) if job.step == "sample" else item
            edit_id = getattr(item, "edit_id", None)
            yield job.step, record_failure(writer, job.step, item, error, context, edit_id)
        writer.flush()
