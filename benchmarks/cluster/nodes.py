"""A Ray of several nodes on this machine, with GPUs that are only counted; nodes may be lost.

Nodes are processes of their own: one that is started in the driver's keeps the driver waiting.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

import psutil

_BACK_SECONDS = 600.0
"""Of simulated time, until another node stands in for one that was lost."""
_STORE_BYTES = 100 << 20
"""Of a node's object store: those of the usual size would not fit this machine."""


class Nodes:
    """A head without GPUs, where the driver is, and nodes with some."""

    def __init__(self, gpus: int, per_node: int) -> None:
        from ray.cluster_utils import Cluster

        self._per_node = [per_node] * (gpus // per_node) + [gpus % per_node] * bool(gpus % per_node)
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 8,
                "include_dashboard": False,
                "object_store_memory": _STORE_BYTES,
            },
        )
        self._nodes: list[tuple[int, subprocess.Popen[str]]] = []
        """The GPUs of each, and what holds its processes."""
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
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._nodes:
            self._remove(0)
        self._cluster.shutdown()

    def _add(self, gpus: int) -> None:
        """Start a node and wait until it is there."""
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        command += [f"--address={self.address}", f"--num-gpus={gpus}", f"--num-cpus={4 * gpus}"]
        command += [f"--object-store-memory={_STORE_BYTES}", "--disable-usage-stats"]
        node = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._nodes.append((gpus, node))
        assert node.stdout is not None
        said = []
        for line in node.stdout:
            said.append(line)
            if "Ray runtime started" in line:
                return
        raise RuntimeError(f"a node did not start: {''.join(said)}")

    def _remove(self, number: int) -> int:
        """Kill a node's processes, all at once; return how many GPUs it had."""
        gpus, node = self._nodes.pop(number)
        parent = psutil.Process(node.pid)
        for process in [*parent.children(recursive=True), parent]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        node.wait()
        return gpus

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
                gpus = self._remove(draws.randrange(len(self._nodes)))
                self.lost += 1
                back.append((now + _BACK_SECONDS / 3600 * hour, gpus))
                due = now + draws.expovariate(1 / pace)
