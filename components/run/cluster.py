"""Ray, started at the first step that has work and not before."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import psutil

from components.config import RayConfig
from components.errors import UserError
from components.run.interrupt import interrupter

_WATCH_SECONDS = 1.0


class Cluster:
    """A local Ray instance of this process, or a connection to an existing cluster."""

    def __init__(self, config: RayConfig) -> None:
        self._config = config
        self.started = False
        """Whether Ray was needed."""
        self.lost = False
        """Whether the local instance's raylet has died. Some calls of Ray then wait for ever."""
        self.busy = False
        """Whether the caller waits for Ray, and is to be interrupted when that is in vain."""
        self._closing = threading.Event()

    def start(self) -> None:
        """Start or join Ray; a second call does nothing, unless the local instance has died.

        Raises:
            UserError: the configured address does not answer.
        """
        if self.lost:
            self._close()
        if self.started:
            return
        # Read when Ray is imported. Train's own progress bars and usage reports are not ours.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        logging.getLogger("ray").setLevel(logging.ERROR)
        import ray  # 1.5 s that a finished run need not pay

        address = self._config.address
        try:
            if address is None:
                ray.init(
                    address="local",
                    num_cpus=self._config.num_cpus,
                    # Ray Train's clean-up asks the dashboard's API whether its controller lives.
                    include_dashboard=True,
                    log_to_driver=True,
                    logging_level="error",
                )
            else:
                ray.init(address=address, logging_level="error")
        except ConnectionError as error:
            raise UserError(
                f"no Ray cluster answers at ray.address={address!r} ({error}): "
                "check the address, or leave it out for a local instance"
            ) from error
        self.started = True
        if address is None:
            watch = threading.Thread(target=_watch, args=(self, self._closing, interrupter()))
            watch.daemon = True
            watch.start()

    def _close(self) -> None:
        if self.started:
            import ray

            self._closing.set()
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
