"""Ray, started at the first step that has work and not before."""

from __future__ import annotations

import logging
import os
from types import TracebackType
from typing import Self

from components.config import RayConfig, RunConfig
from components.errors import UserError

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

    def start(self) -> None:
        """Start or join Ray; a second call does nothing.

        Raises:
            UserError: the configured address does not answer.
        """
        if self.started:
            return
        # Read when Ray is imported. Train's own progress bars and usage reports are not ours.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        # Workers' lines: all of ours, none that Ray writes of its own doings.
        os.environ.setdefault("RAY_DEDUP_LOGS_ALLOW_REGEX", _OURS)
        os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", _NOISE)
        if self._json:
            os.environ["RAY_DISABLE_WORKER_LOG_PREFIX"] = "1"
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
        if self._config.request_resources:
            self._ask_for([_worker_bundle(self._config)] * self._config.workers)

    def _ask_for(self, bundles: list[dict[str, float]]) -> None:
        from ray.autoscaler.sdk import request_resources

        request_resources(bundles=bundles)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.started:
            import ray

            if self._config.request_resources:
                self._ask_for([])  # a request stands until the next one
            ray.shutdown()


def _worker_bundle(config: RayConfig) -> dict[str, float]:
    bundle = {"CPU": config.cpus_per_worker}
    if config.gpus_per_worker:
        bundle["GPU"] = config.gpus_per_worker
    if config.accelerator_type is not None:
        bundle[f"accelerator_type:{config.accelerator_type}"] = 0.001
    return bundle
