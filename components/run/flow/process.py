"""What runs in each of a flow's processes: any step's work, whatever comes."""

from __future__ import annotations

import dataclasses
import gc
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from components.log import setup_worker_logging
from components.run.flow.jobs import TOGETHER
from components.steps.editing import SampleItem
from components.steps.fresh import Fresh
from components.steps.notice import Notices, Preempted, heed_draining, heed_sigterm
from components.steps.prepare import PrepareWorker
from components.steps.sample import SampleWorker
from components.steps.spread import STOPPING, items_from_json, items_to_json
from components.steps.step import ItemWorker, Outcome, StepContext


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A job on its way; items travel as JSON, so that no type is guessed."""

    step: str
    make: Callable[[StepContext], ItemWorker]
    context: StepContext
    kind: type
    """Of the items."""
    items: str
    alone: bool
    """Whether each row is committed at once, as a worker has died at it."""
    follow: Task | None = None
    """Edits of the video that is tuned, whose ``made`` names what is to be made of it."""


class FlowProcess:
    """Holds the workers of one step, or of those that share a model, and Ray calls it."""

    def __init__(self) -> None:
        heed_sigterm()  # Ray runs an actor's methods in the main thread
        heed_draining(_drains)
        self._workers: dict[str, tuple[StepContext, ItemWorker]] = {}
        self._fresh = Fresh()

    def ready(self) -> None:
        """Answers when the process is there."""

    def compute(self, task: Task) -> str:
        """Do a task; see ``done_from_json``."""
        setup_worker_logging(task.context.config, verbose=task.context.verbose)
        try:
            outcomes = {task.step: self._work(task, items_from_json(task.items, task.kind))}
            if task.follow is not None and (edits := self._following(task.follow)):
                outcomes[task.follow.step] = self._work(task.follow, edits)
        except Preempted as error:
            return json.dumps({"preempted": str(error)})
        except tuple(STOPPING.values()) as error:
            kind = next(name for name, kind in STOPPING.items() if isinstance(error, kind))
            return json.dumps({"stopped": kind, "message": str(error)})
        return json.dumps({step: items_to_json(found) for step, found in outcomes.items()})

    def _work(self, task: Task, items: list[Any]) -> list[Outcome]:
        worker = self._worker(task)
        if task.alone:
            worker.commit_each()
        return worker(items)

    def _following(self, task: Task) -> list[SampleItem]:
        """What can be made of what this process has just prepared; the rest is planned anew."""
        if Notices().given():
            return []
        found = []
        for item in items_from_json(task.items, SampleItem):
            made = [row | (self._fresh.row(item.video_id, row) or {}) for row in item.made]
            if all({"uri", "part"} & row.keys() for row in made):
                found.append(dataclasses.replace(item, made=made))
        # Another's worker would not know where to look.
        return found if found and isinstance(self._worker(task), SampleWorker) else []

    def _worker(self, task: Task) -> ItemWorker:
        together = next(steps for steps in TOGETHER if task.step in steps)
        if not self._workers.keys() <= set(together):
            self._leave()
        context, worker = self._workers.get(task.step, (None, None))
        if worker is None or context != task.context:
            self._workers.pop(task.step, None)
            worker = task.make(task.context)
            if isinstance(worker, PrepareWorker | SampleWorker):
                worker.use(self._fresh)
            self._workers[task.step] = task.context, worker
        return worker

    def _leave(self) -> None:
        """Let go of the former steps' workers and their models."""
        self._workers.clear()
        self._fresh.clear()
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def done_from_json(text: str) -> dict[str, list[Outcome]]:
    """What a process answered, by step.

    Raises:
        Preempted: it was told to stop; what is committed counts.
        UserError: it cannot go on, for a reason that no item is to blame for.
        TransientError: likewise, but it may later.
    """
    found = json.loads(text)
    if "preempted" in found:
        raise Preempted(found["preempted"])
    if "stopped" in found:
        raise STOPPING[found["stopped"]](found["message"])
    return {step: items_from_json(outcomes, Outcome) for step, outcomes in found.items()}


def _drains() -> bool:
    """Whether Ray has announced the end of this process's node."""
    import ray

    # Of what Ray has that tells it, Ray Train's own function asks the same.
    drained = ray._private.state.state.get_draining_nodes()  # noqa: SLF001
    return ray.get_runtime_context().get_node_id() in drained
