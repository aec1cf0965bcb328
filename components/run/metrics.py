"""Counters of a run's progress, which Ray exports to Prometheus from the driver's node."""

from __future__ import annotations

from collections.abc import Mapping

from components.config import RunConfig
from components.steps.step import Outcome

SECONDS = (0.1, 1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
"""Bounds of the histogram's buckets."""


class Metrics:
    """Counts the outcomes of one step; needs a Ray that runs.

    Prometheus sees ``ray_tav_items_total`` (by step and outcome, ``done`` or ``failed``),
    ``ray_tav_item_seconds`` (a histogram by step) and ``ray_tav_gpu_seconds_total`` (by step), each
    with the run's address as ``run``; ``Busy`` adds ``ray_tav_busy_workers``.
    """

    def __init__(self, config: RunConfig, step: str) -> None:
        from ray.util.metrics import Counter, Histogram  # the driver has loaded ray by now

        self._gpu = _on_gpu(config, step)
        self._tags = {"run": _ascii(config.run), "step": step}
        names = ("run", "step")
        self._items = Counter(
            "tav_items_total",
            description="Items of a step that came to an end.",
            tag_keys=(*names, "outcome"),
        )
        self._seconds = Histogram(
            "tav_item_seconds",
            description="Seconds of a worker for each item that was done.",
            boundaries=list(SECONDS),
            tag_keys=names,
        )
        self._gpu_seconds = Counter(
            "tav_gpu_seconds_total",
            description="Seconds of workers with a GPU for the items that were done.",
            tag_keys=names,
        )

    def record(self, outcome: Outcome) -> None:
        """Count one item."""
        failed = outcome.error is not None
        self._items.inc(tags=self._tags | {"outcome": "failed" if failed else "done"})
        if failed:
            return
        self._seconds.observe(outcome.seconds, tags=self._tags)
        if self._gpu and outcome.seconds > 0:
            self._gpu_seconds.inc(outcome.seconds, tags=self._tags)


class Busy:
    """Tells how many workers are at each step, as the gauge ``ray_tav_busy_workers``."""

    def __init__(self, config: RunConfig) -> None:
        from ray.util.metrics import Gauge

        self._run = _ascii(config.run)
        self._told: Mapping[str, int] = {}
        self._gauge = Gauge(
            "tav_busy_workers",
            description="Workers that are at an item of a step.",
            tag_keys=("run", "step"),
        )

    def tell(self, counts: Mapping[str, int]) -> None:
        """Set the gauge.

        Args:
            counts: Workers by step; a step that is not named has none.
        """
        if counts != self._told:
            for step in self._told.keys() | counts.keys():
                self._gauge.set(counts.get(step, 0), tags={"run": self._run, "step": step})
            self._told = dict(counts)


def _ascii(run: str) -> str:
    """The run's address as Ray takes it."""
    return run.encode("ascii", "backslashreplace").decode("ascii")


def _on_gpu(config: RunConfig, step: str) -> bool:
    devices = {
        "ingest": "cpu",
        "caption": config.caption.device,
        "control": config.control.device,
        "tune": config.model.device,
        "sample": config.model.device,
        "score": config.score.device,
    }
    return devices[step].startswith("cuda")
