"""A Ray of several nodes on this machine, with GPUs that are only counted; nodes may be lost."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

_BACK_SECONDS = 600.0
"""Of simulated time, until another node stands in for one that was lost."""


class Nodes:
    """A head without GPUs, where the driver is, and nodes with some."""

    def __init__(self, gpus: int, per_node: int) -> None:
        from ray.cluster_utils import Cluster

        self._per_node = [per_node] * (gpus // per_node) + [gpus % per_node] * bool(gpus % per_node)
        # As Ray's own tests do; object stores of the usual size would not fit this machine.
        self._store = {"object_store_memory": 100 << 20}
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 8, "include_dashboard": False, **self._store},
            # Nodes come back in a thread, where no handler of signals can be set.
            shutdown_at_exit=False,
        )
        self.lost = 0
        """How many were."""

    @property
    def address(self) -> str:
        """For ``ray.address``."""
        found: str = self._cluster.address
        return found

    def __enter__(self) -> Self:
        for gpus in self._per_node:
            self._add(gpus)
        self._cluster.wait_for_nodes()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cluster.shutdown()

    def _add(self, gpus: int) -> Any:
        return self._cluster.add_node(num_cpus=4 * gpus, num_gpus=gpus, **self._store)

    @contextmanager
    def losing(self, share: float, hour: float, seed: int) -> Iterator[None]:
        """Lose nodes now and then.

        Args:
            share: Of the nodes that is lost in an hour.
            hour: Seconds of it, scaled.
            seed: Of the moments and the nodes.
        """
        over = threading.Event()
        thread = threading.Thread(target=self._lose, args=(share, hour, seed, over), daemon=True)
        if share:
            thread.start()
        try:
            yield
        finally:
            over.set()
            if share:
                thread.join()

    def _lose(self, share: float, hour: float, seed: int, over: threading.Event) -> None:
        draws = random.Random(seed)
        pace = hour / (share * len(self._per_node))
        back: list[tuple[float, int]] = []
        due = time.monotonic() + draws.expovariate(1 / pace)
        while not over.wait(0.2):
            now = time.monotonic()
            while back and back[0][0] <= now:
                self._add(back.pop(0)[1])
            if now >= due:
                node = draws.choice(sorted(self._cluster.worker_nodes, key=lambda one: one.node_id))
                gpus = int(node.get_resource_and_label_spec().num_gpus)
                self._cluster.remove_node(node, allow_graceful=False)
                self.lost += 1
                back.append((now + _BACK_SECONDS / 3600 * hour, gpus))
                due = now + draws.expovariate(1 / pace)
