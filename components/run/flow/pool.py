"""The processes of a flow: started as work and machines come, each at one job at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from components.config import RayConfig
from components.run.cluster import workers_of
from components.run.flow.jobs import TOGETHER, Job, Jobs
from components.run.flow.process import FlowProcess, Task
from components.steps.losses import is_loss

logger = logging.getLogger(__name__)

_SPARE_SECONDS = 20.0
"""Of work on a CPU that waits for each process: another one, which takes some seconds to start, is
worth it."""


@dataclass(eq=False, slots=True)
class Worker:
    """One process."""

    actor: Any
    job: Job | None = None
    reference: Any = None
    """Ray's, of the job's end; while there is no job, of the start."""
    began: float = 0.0
    held: tuple[str, ...] = ()
    """Steps whose models it has."""
    ready: bool = False

    def give(self, job: Job, task: Task) -> None:
        """Begin a job."""
        self.job, self.began = job, time.monotonic()
        self.reference = self.actor.compute.remote(task)
        self.held = next(steps for steps in TOGETHER if job.step in steps)


class Pool:
    """Processes with the same resources."""

    def __init__(self, steps: Sequence[str], settings: RayConfig, num_gpus: float) -> None:
        """Start none yet.

        Args:
            steps: That these do.
            settings: Of the run.
            num_gpus: Of each.
        """
        self.steps = tuple(steps)
        self._settings = settings
        self._gpus = num_gpus
        self.workers: list[Worker] = []

    def grow(self, jobs: Jobs) -> None:
        """Start as many processes as the work that waits is worth."""
        waiting = jobs.waiting(self.steps)
        idle = sum(worker.job is None for worker in self.workers)
        most = workers_of(self._settings)
        while len(self.workers) < most and idle < waiting:
            if self.workers and not self._gpus and not self._worth(jobs):
                return
            self.workers.append(self._start())
            idle += 1

    def _worth(self, jobs: Jobs) -> bool:
        """Whether so much waits that another process on a CPU would be a gain."""
        if any(not worker.ready for worker in self.workers):
            return False
        least = _SPARE_SECONDS * len(self.workers)
        now = time.monotonic()
        slow = any(one.job is not None and now - one.began > _SPARE_SECONDS for one in self.workers)
        return slow or jobs.seconds(self.steps) > least

    def _start(self) -> Worker:
        import ray

        settings = self._settings
        process = ray.remote(
            num_cpus=settings.cpus_per_worker,
            num_gpus=self._gpus,
            # The driver knows what a process was at when it died, and gives that to another.
            max_restarts=0,
            max_task_retries=0,
            # Ray takes a kind only of a worker with a GPU.
            **({"accelerator_type": settings.accelerator_type} if self._gpus else {}),
        )(FlowProcess)
        actor = process.remote()
        return Worker(actor, reference=actor.ready.remote())

    def idle(self) -> Iterator[Worker]:
        """Processes that are there and have nothing to do; first those that hold a model."""
        there = [worker for worker in self.workers if worker.ready and worker.job is None]
        yield from sorted(there, key=lambda worker: not worker.held)

    def end(self, worker: Worker) -> None:
        """Do without a process, and give back what it holds."""
        import ray

        self.workers.remove(worker)
        ray.kill(worker.actor)

    def close(self) -> None:
        """End all processes."""
        for worker in [*self.workers]:
            self.end(worker)

    def shrink(self, jobs: Jobs) -> None:
        """End processes when none of their steps can have work any more."""
        if jobs.waiting(self.steps):
            return
        for worker in [one for one in self.workers if one.job is None]:
            self.end(worker)

    def started(self, worker: Worker) -> None:
        """Note that a process is there, or that it was lost at its start.

        Raises:
            Exception: what no other start would go better for.
        """
        import ray

        try:
            ray.get(worker.reference)
        except Exception as error:
            if not is_loss(error):
                raise
            logger.warning("a process was lost at its start: %s", error)
            self.end(worker)
            return
        worker.ready, worker.reference = True, None
