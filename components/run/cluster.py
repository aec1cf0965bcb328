"""Ray, started at the first step that has work and not before."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import psutil

from components.config import RayConfig, RunConfig
from components.errors import UserError
from components.run.interrupt import interrupter
from components.run.ray_start import check_shared_memory, guard, ray_folder, why_not
from components.run.unheard import give_warning_unheard

logger = logging.getLogger(__name__)

_STARTS = 3
"""Ray gives its own start 30 s, which a busy machine may need twice."""
_WATCH_SECONDS = 1.0

HUGE_PAGES = "glibc.malloc.hugetlb=1"
"""Lets malloc ask for huge pages, where Linux gives them for the asking: with pages of 4 kB a step
on a CPU can take twice its time (benchmarks/README.md)."""
_OURS = r"step=|^\{"
"""Of lines that no other worker's equal line may swallow: text with a step, or JSON."""
_NOISE = r"core_worker\.cc|Reporting training result"
"""Of lines that mean nothing to a user: Ray's notes on its own actors, and on every report."""


class Cluster:
    """A local Ray instance of this process, or a connection to an existing cluster."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config.ray
        self._json = config.log_format == "json"
        self.started = False
        """Whether Ray was needed."""
        self.lost = False
        """Whether the local instance's raylet has died. Some calls of Ray then wait for ever."""
        self.busy = False
        """Whether the caller waits for Ray, and is to be interrupted when that is in vain."""
        self._closing = threading.Event()
        self._serves_train = False

    def start(self, *, train: bool = True) -> None:
        """Start or join Ray; a second call does nothing, unless the local instance has died.

        Args:
            train: Whether Ray Train will be used. A local instance that was started without it is
                started anew.

        Raises:
            UserError: the configured address does not answer, or this machine lacks something.
            TransientError: the local instance does not come up, time and again.
        """
        if self.lost or (self.started and train and not self._serves_train):
            self._close()
        if self.started:
            return
        # Read when Ray is imported. Train's own progress bars and usage reports are not ours.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        # For the workers: glibc reads it when a process starts.
        os.environ.setdefault("GLIBC_TUNABLES", HUGE_PAGES)
        for name, value in _line_settings(in_colour=_in_colour()).items():
            os.environ.setdefault(name, value)
        if self._json:
            os.environ["RAY_DISABLE_WORKER_LOG_PREFIX"] = "1"
        logging.getLogger("ray").setLevel(logging.ERROR)
        address = self._config.address
        if address is None:
            self._start_local(train=train)
        else:
            _join(address)
        self.started, self._serves_train = True, train or address is not None
        give_warning_unheard()
        if address is None:
            watch = threading.Thread(target=_watch, args=(self, self._closing, interrupter()))
            watch.daemon = True
            watch.start()
        if self._config.request_resources:
            self._ask_for([_worker_bundle(self._config)] * workers_of(self._config))

    def _start_local(self, *, train: bool) -> None:
        check_shared_memory()
        folder = ray_folder()
        guard()
        import ray  # 1.5 s that a finished run need not pay

        for tries_left in reversed(range(_STARTS)):
            try:
                ray.init(
                    address="local",
                    num_cpus=self._config.num_cpus,
                    # Ray Train's clean-up asks the dashboard's API whether its controller lives;
                    # its dozen processes are half of Ray's start.
                    include_dashboard=train,
                    log_to_driver=True,
                    logging_level="error",
                    **({"_temp_dir": folder} if folder else {}),
                )
            except (ValueError, TypeError):
                raise
            except Exception as error:  # Ray raises no narrower one when its raylet does not answer
                ray.shutdown()
                cause = why_not(error, folder)
                if not tries_left or isinstance(cause, UserError):
                    raise cause from error
                logger.warning("Ray did not start, trying again: %s", error)
            else:
                return

    def _ask_for(self, bundles: list[dict[str, float]]) -> None:
        from ray.autoscaler.sdk import request_resources

        request_resources(bundles=bundles)

    def _close(self) -> None:
        if self.started:
            import ray

            self._closing.set()
            if self._config.request_resources and not self.lost:
                self._ask_for([])  # a request stands until the next one
            ray.shutdown()
            self.started, self.lost, self._closing = False, False, threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()


def _in_colour() -> bool:
    """Whether workers' lines may hold colour codes: both streams are a terminal's."""
    return not os.environ.get("NO_COLOR") and sys.stdout.isatty() and sys.stderr.isatty()


def _line_settings(*, in_colour: bool) -> dict[str, str]:
    """What Ray does with workers' lines: shows all of ours, none of its own doings.

    Ray shows equal lines of several workers once, with a coloured count. Where there is no terminal
    each is shown instead.
    """
    shown = _OURS if in_colour else f"{_OURS}|^(?!.*({_NOISE}))"
    lines = {"RAY_DEDUP_LOGS_ALLOW_REGEX": shown, "RAY_DEDUP_LOGS_SKIP_REGEX": _NOISE}
    return lines if in_colour else lines | {"RAY_COLOR_PREFIX": "0"}


_GUARDED = (
    "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the cluster's, which "
    "its head has in ~/.ray/auth_token"
)


def _join(address: str) -> None:
    import ray
    from ray.exceptions import AuthenticationError

    try:
        ray.init(address=address, logging_level="error")
    except AuthenticationError as error:
        raise UserError(
            f"the Ray cluster at ray.address={address!r} wants a token: {_GUARDED} "
            f"({_first_line(error)})"
        ) from error
    except (ConnectionError, RuntimeError) as error:
        raise UserError(
            f"no Ray cluster answers at ray.address={address!r} ({_first_line(error)}): "
            "check the address, or leave it out for a local instance; a cluster with a token "
            f"answers to it alone ({_GUARDED})"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def workers_of(settings: RayConfig) -> int:
    """Workers that are wanted; where that is `auto`, as many as Ray has room for, which runs."""
    if settings.workers != "auto":
        return settings.workers
    import ray

    there = ray.cluster_resources()
    asked = {"CPU": settings.cpus_per_worker, "GPU": settings.gpus_per_worker}
    room = [there.get(name, 0.0) / each for name, each in asked.items() if each]
    return max(int(min(room, default=1)), 1)


def _worker_bundle(config: RayConfig) -> dict[str, float]:
    bundle = {"CPU": config.cpus_per_worker}
    if config.gpus_per_worker:
        bundle["GPU"] = config.gpus_per_worker
    if config.accelerator_type is not None:
        bundle[f"accelerator_type:{config.accelerator_type}"] = 0.001
    return bundle


def _watch(cluster: Cluster, closing: threading.Event, interrupt: Callable[[], None]) -> None:
    """Interrupt the thread that started a local instance when its raylet dies."""
    raylets = [
        process
        for process in psutil.Process().children(recursive=True)
        if (process.cmdline() or [""])[0].endswith("/raylet")
    ]
    while not closing.wait(_WATCH_SECONDS):
        if not any(map(_is_alive, raylets)):
            cluster.lost = True
            if cluster.busy:
                interrupt()
            return


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
