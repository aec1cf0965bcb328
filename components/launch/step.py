"""``launch_step``: one step of a run, wherever it runs, from its submission to its end."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from components.config import RunConfig
from components.errors import UserError
from components.launch.ends import End, Place
from components.launch.job import Job, make_job, run_step
from components.launch.where import Where

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 60.0


class StepFailed(UserError):  # noqa: N818 - an outcome as much as an error
    """A step ran, or was to run, and did not succeed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A step that succeeded. What it computed is in the run's tables."""

    job: str
    """Name of the Ray job or RayJob; ``local`` for none."""
    attempt: int
    """0 for the first; earlier calls' attempts that the place still remembers count too."""
    adopted: bool
    """Whether another call had started it."""
    seconds: float


def launch_step(
    step: str, config: RunConfig, where: Where, *, retry_failed: bool = False
) -> Outcome:
    """Run one step somewhere, follow its log on standard error, and return how it ended.

    An attempt that is under way, of the same step, run and configuration, is adopted. One that has
    ended is never taken for an answer, as what it read may have changed since: a new one starts,
    and finds in the tables what is done already. This is the one layer that retries; Ray, KubeRay
    and the submitter are told not to.

    SIGTERM counts as KeyboardInterrupt: the job is stopped, and the interrupt goes on.

    Raises:
        StepFailed: the step failed, was stopped by someone else, or too many of its items failed.
        UserError: it cannot be started as asked, or contact to it was lost. It may run on then; the
            same call again adopts it.
        KeyboardInterrupt: this process was told to stop, and the job was stopped.
    """
    began = time.monotonic()
    job = make_job(step, config, retry_failed=retry_failed)
    with _sigterm_interrupts():
        if where.mode == "local":
            done = run_step(step, config, retry_failed=retry_failed)
            if done.problem:
                raise StepFailed(f"step {step} of {config.run}: {done.problem}")
            return Outcome("local", 0, adopted=False, seconds=time.monotonic() - began)
        place = _open_place(where)
        for left in reversed(range(where.attempts)):
            attempt, adopted, end = _one_attempt(place, job)
            name = job.name(attempt)
            if end.state == "succeeded":
                return Outcome(name, attempt, adopted, time.monotonic() - began)
            if end.state == "stopped" or not end.retryable or not left:
                _raise_failed(step, name, end)
            pause = min(_FIRST_PAUSE_S * 2**attempt, _LONGEST_PAUSE_S)
            logger.warning(
                "%s failed, %d attempt(s) left, the next in %.0f s: %s",
                *(name, left, pause, end.message),
            )
            time.sleep(pause)
    raise AssertionError("unreachable")


def _open_place(where: Where) -> Place:
    if where.mode == "address":
        from components.launch.ray_jobs import RayJobs

        return RayJobs(where.address)
    from components.launch.kuberay import KubeRay

    return KubeRay(where)


def _one_attempt(place: Place, job: Job) -> tuple[int, bool, End]:
    """Adopt the attempt that is under way or start the next; stop it if this process is stopped."""
    known = place.attempts(job)
    live = [attempt for attempt, ended in known.items() if not ended]
    attempt = max(live) if live else max(known, default=-1) + 1
    name = job.name(attempt)
    try:
        if live:
            logger.info("%s is under way already: following it", name)
        else:
            place.submit(job, attempt)
            logger.info("%s submitted", name)
        return attempt, bool(live), place.follow(name)
    except KeyboardInterrupt:
        logger.warning("stopping %s", name)
        if not place.stop(name):
            logger.warning("%s was told to stop, but has not been seen to end", name)
        raise


def _raise_failed(step: str, name: str, end: End) -> NoReturn:
    if end.state == "stopped":
        raise StepFailed(f"step {step} was stopped by someone else ({name}): {end.message}")
    raise StepFailed(f"step {step} failed ({name}): {end.message}")


@contextlib.contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt: a pod's end and Ctrl-C clean up alike."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread hears signals
        return

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
