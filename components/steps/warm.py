"""One process that does a small run's items, step after step, where a pool would have one actor.

Each pool starts processes that import anew what the last one had; of a few items that is more than
their work. A step's model goes before the next step's comes, so that the process needs no more
memory than the largest pool's.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from components.config import RayConfig
from components.errors import UserError
from components.log import setup_worker_logging
from components.steps.notice import Preempted, heed_sigterm
from components.steps.preparation import PrepareItem
from components.steps.spread import (
    StepActor,
    deal,
    items_from_json,
    items_to_json,
    outcomes_from_json,
)
from components.steps.step import ItemWorker, Outcome, StepContext

if TYPE_CHECKING:
    from components.steps.shards import Loss

MakeWorker = Callable[[StepContext], ItemWorker]


class WarmWorker:
    """The driver's side: starts the process when it is first needed."""

    def __init__(self, settings: RayConfig) -> None:
        self._settings = settings
        self._actor: Any = None
        self._gpus = 0.0

    def run_items(
        self,
        groups: Sequence[Sequence[Any]],
        make_worker: MakeWorker,
        context: StepContext,
        *,
        num_gpus: float = 0,
    ) -> Iterator[Outcome]:
        """As ``spread.run_items``, in the process.

        A process that dies is started again and given the same task, as an actor of a pool is.
        """
        import ray

        actor = self._started(num_gpus)
        step = (make_worker, type(groups[0][0]), context, time.time_ns())
        for task in deal(groups, 1, context.config.ray.items_per_task):
            yield from outcomes_from_json(ray.get(actor.compute.remote(step, items_to_json(task))))

    def start_shard(
        self, items: Sequence[PrepareItem], context: StepContext, make_worker: MakeWorker
    ) -> Any:
        """Begin to tune videos, and return Ray's reference of how that ends.

        A process that dies is started again, but not at this: the driver counts whose death it was.
        """
        tune = self._started(self._settings.gpus_per_worker).tune
        return tune.options(max_task_retries=0).remote(items_to_json(items), context, make_worker)

    def end(self) -> None:
        """Kill the process, if there is one, and so give back what it holds."""
        actor, self._actor = self._actor, None
        if actor is not None:
            import ray

            ray.kill(actor)

    def forget(self) -> None:
        """Do without the process: the Ray that it belongs to is gone."""
        self._actor = None

    def _started(self, gpus: float) -> Any:
        if self._actor is not None and gpus != self._gpus:
            self.end()
        if self._actor is None:
            import ray

            settings = self._settings
            process = ray.remote(
                num_cpus=settings.cpus_per_worker,
                num_gpus=gpus,
                # Ray Data's choice for the actors of its pools.
                max_restarts=-1,
                max_task_retries=-1,
                # Ray takes a kind only of a worker with a GPU.
                **({"accelerator_type": settings.accelerator_type} if gpus else {}),
            )(WarmProcess)
            self._actor, self._gpus = process.remote(), gpus
        return self._actor


class WarmProcess:
    """The process's side."""

    def __init__(self) -> None:
        heed_sigterm()  # Ray runs an actor's methods in the main thread
        self._step: StepActor | None = None
        self._began = 0

    def compute(self, step: tuple[MakeWorker, type, StepContext, int], task: str) -> str:
        """Compute the items of a task, and first end with the former step."""
        began = step[-1]
        if self._step is None or began != self._began:
            self._leave()
            self._step, self._began = StepActor(*step), began
        return self._step.compute(task)

    def tune(
        self, items: str, context: StepContext, make_worker: MakeWorker
    ) -> Loss | UserError | None:
        """Tune the videos of a shard; none means that it went through."""
        from components.steps.shards import Loss, work_off

        self._leave()
        setup_worker_logging(context.config, verbose=context.verbose)
        try:
            work_off(items_from_json(items, PrepareItem), context, make_worker)
        except UserError as error:
            return error
        except Preempted as error:
            return Loss(str(error), of_worker=False)
        return None

    def _leave(self) -> None:
        """Let go of the former step's worker and its model."""
        self._step = None
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.empty_cache()
