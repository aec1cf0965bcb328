"""Follows what is computed, whoever does it: progress, metrics, the lease, and what is lost."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping

from components.config import RunConfig
from components.errors import TransientError, UserError
from components.run.cluster import Cluster
from components.run.lease import Lease
from components.run.metrics import Metrics
from components.run.progress import Progress
from components.steps.losses import is_loss
from components.steps.step import Outcome

logger = logging.getLogger(__name__)

_MAX_LOSSES = 5
"""Losses of workers or nodes in a row without an item being done; then the run ends."""


class Work:
    """What one driver has computed."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._losses = 0

    def follow(
        self,
        outcomes: Iterator[tuple[str, Outcome]],
        totals: Mapping[str, int],
        computed: Counter[str],
        cluster: Cluster,
        lease: Lease,
    ) -> bool:
        """Follow what is computed; return whether all is settled, and no loss came in between.

        Args:
            outcomes: With their steps.
            totals: How many are expected of each step.
            computed: Counts those that come.
            cluster: Where they are computed.
            lease: Of this driver.
        """
        settled = 0
        steps = ", ".join(totals)
        metrics: dict[str, Metrics] = {}
        try:
            with Progress(totals, bar=self._config.log_format == "text") as progress:
                for step, outcome in outcomes:
                    settled += 1
                    lease.check()
                    computed[step] += 1
                    progress.advance(step, outcome)
                    if cluster.started:
                        if step not in metrics:
                            metrics[step] = Metrics(self._config, step)
                        metrics[step].record(outcome)
        except (Exception, KeyboardInterrupt) as error:
            lease.check()
            if isinstance(error, UserError) or not (cluster.lost or is_loss(error)):
                raise
            self._losses = 0 if settled else self._losses + 1
            what = "Ray's node died" if cluster.lost else _last_line(error)
            if self._losses >= _MAX_LOSSES:
                raise TransientError(
                    f"step {steps}: given up after {self._losses} losses in a row that left "
                    f"nothing done, the last one: {what}. What is committed counts: run again to "
                    "go on"
                ) from error
            logger.warning("going on after a loss: %s", what)
            return False
        finally:
            cluster.busy = False
        return True


def _last_line(error: BaseException) -> str:
    """What a long message of Ray comes down to."""
    return f"{type(error).__name__}: {error}".strip().splitlines()[-1]
