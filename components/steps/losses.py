"""Which errors say that a process or a machine was lost, and which that the program is wrong."""

from __future__ import annotations

from collections.abc import Iterator

from components.errors import TransientError, UserError
from components.steps.notice import Preempted


def is_loss(error: BaseException) -> bool:
    """Whether the same work may go through when it is tried again.

    True of a worker, an actor or a node that died under it, of objects that went with them, and of
    a store that could not be reached; false of what the program itself did wrong.
    """
    return any(_says_loss(one) for one in _reasons(error))


def refusal(error: BaseException) -> UserError | None:
    """What a worker could not go on for and no item is to blame for, such as a full disk."""
    return next((one for one in _reasons(error) if isinstance(one, UserError)), None)


def is_worker_death(error: BaseException) -> bool:
    """Whether a worker's process died by itself, perhaps of the item that it was at.

    A worker that went with its node is no such case.
    """
    from ray.exceptions import OutOfMemoryError, RayActorError

    kinds = (OutOfMemoryError, RayActorError)
    deaths = [one for one in _reasons(error) if isinstance(one, kinds) and _says_loss(one)]
    return bool(deaths) and not any(
        getattr(one, "preempted", False) or "node has died" in str(one) for one in deaths
    )


def _says_loss(error: BaseException) -> bool:
    from ray import exceptions

    if getattr(error, "actor_init_failed", False):
        return False  # its constructor raised
    if isinstance(error, OSError) and "AWS Error" in str(error):
        return True  # of pyarrow, with which Ray Train writes to S3
    return isinstance(
        error,
        (
            TransientError,
            Preempted,
            exceptions.RayActorError,
            exceptions.WorkerCrashedError,
            exceptions.NodeDiedError,
            exceptions.LocalRayletDiedError,
            exceptions.ObjectLostError,
            exceptions.OutOfMemoryError,
            exceptions.ActorPlacementGroupRemoved,
            exceptions.TaskPlacementGroupRemoved,
        ),
    )


def _reasons(error: BaseException) -> Iterator[BaseException]:
    """An error and all that it was raised from or holds: Ray wraps errors in many ways."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, *vars(one).values()]
