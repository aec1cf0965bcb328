"""The same run without Ray: one item after the other in this process, with nothing to kill."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from typing_extensions import override

from components.config import load_run_config
from components.run.cluster import Cluster
from components.run.runner import Runner
from components.steps.packed import Packed
from components.steps.step import Outcome


class PlainRunner(Runner):
    """Plans, computes and commits as any run does, but for Ray."""

    @override
    def _flows(self, steps: Sequence[str]) -> bool:
        return False

    @override
    def _outcomes(self, step: str, items: Packed, cluster: Cluster) -> Iterator[Outcome]:
        work = self._worker(step)(self._context)
        for item in items:
            yield from work([item])


if __name__ == "__main__":
    PlainRunner(load_run_config(Path(sys.argv[1]))).run()
