"""Ray, started at the first step that has work and not before."""

from __future__ import annotations

import logging
import os
from types import TracebackType
from typing import Self

from components.config import RayConfig
from components.errors import UserError


class Cluster:
    """A local Ray instance of this process, or a connection to an existing cluster."""

    def __init__(self, config: RayConfig) -> None:
        self._config = config
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

            ray.shutdown()
