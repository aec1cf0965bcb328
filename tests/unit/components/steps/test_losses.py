"""Which of Ray's errors are losses, whose work is done again, and which are defects."""

from __future__ import annotations

import copy

import pytest
from ray import exceptions
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import (
    UserExceptionWithTraceback,
    WorkerHealthCheckFailedError,
)
from ray.train.v2.api.exceptions import ControllerError

from components.errors import SourceError, TransientError, UserError
from components.steps.losses import is_loss, is_worker_death, refusal
from components.steps.notice import Preempted

DEATH = exceptions.RayActorError(error_msg="its worker process has died: connection error")
NODE_DEATH = exceptions.RayActorError(error_msg="The actor died because its node has died.")
PREEMPTED = exceptions.RayActorError(preempted=True)
BROKEN_INIT = exceptions.RayActorError(actor_init_failed=True)


def of_worker(error: Exception) -> WorkerGroupError:
    return WorkerGroupError("rank 0", {0: error})


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "loss", "worker"),
    [
        (DEATH, True, True),
        (of_worker(DEATH), True, True),
        (of_worker(UserExceptionWithTraceback(Preempted("told"), "trace")), True, False),
        (of_worker(WorkerHealthCheckFailedError("ping", DEATH)), True, True),
        (of_worker(exceptions.OutOfMemoryError("95% used")), True, True),
        (of_worker(WorkerHealthCheckFailedError("ping", NODE_DEATH)), True, False),
        (of_worker(PREEMPTED), True, False),
        (of_worker(UserExceptionWithTraceback(TransientError("S3"), "...")), True, False),
        (ControllerError(TransientError("S3")), True, False),
        (ControllerError(OSError("AWS Error NETWORK_CONNECTION: curlCode 7")), True, False),
        (ControllerError(OSError(28, "No space left on device")), False, False),
        (exceptions.WorkerCrashedError(), True, False),
        (exceptions.NodeDiedError("gone"), True, False),
        (exceptions.RayTaskError("f", "...", TransientError("S3")), True, False),
        (exceptions.RayTaskError("f", "...", of_worker(DEATH)), True, True),
        (caused(RuntimeError("step"), TransientError("S3")), True, False),
        (of_worker(UserExceptionWithTraceback(ValueError("a defect"), "...")), False, False),
        (exceptions.RayTaskError("f", "...", ValueError("a defect")), False, False),
        (BROKEN_INIT, False, False),
        (ControllerError(ValueError("a defect")), False, False),
        (KeyboardInterrupt(), False, False),
        (UserError("no such device"), False, False),
        (SourceError("no video"), False, False),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, BaseException) else None,
)
def test_losses_are_told_from_defects(error: BaseException, *, loss: bool, worker: bool) -> None:
    for one in (error, copy.deepcopy(error)):  # by __reduce__, as Ray carries errors
        if one is not error and error.__cause__ is not None:
            continue  # a copy drops the cause
        assert is_loss(one) == loss
        assert is_worker_death(one) == worker


@pytest.mark.parametrize(
    "error",
    [
        of_worker(UserExceptionWithTraceback(UserError("the disk is full"), "...")),
        exceptions.RayTaskError("f", "...", UserError("the disk is full")),
        ControllerError(UserError("the disk is full")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_worker_refuses_reaches_the_driver(error: Exception) -> None:
    for one in (error, copy.deepcopy(error)):
        assert str(refusal(one)) == "the disk is full"
    assert refusal(of_worker(DEATH)) is None


def test_errors_that_name_each_other_are_no_endless_loop() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert not is_loss(first)
