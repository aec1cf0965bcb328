"""How long each piece of work lasts on a simulated GPU, by the cost model, in scaled time."""

from __future__ import annotations

import hashlib
import math
import random
from dataclasses import dataclass

SECONDS = {
    "ingest": 3.0,
    "caption": 1.0,
    "tune": 332.0,
    "invert": 22.0,
    "sample": 28.0,
    "score": 2.0,
}
"""Of one item on an A100. Tuning, inversion and an edit are the plan's for Stable Diffusion 1.4, 32
frames of 512x512, 500 steps and 50 (docs/operating.md); the others are assumed."""
LOADING = {"caption": 45.0, "tune": 20.0, "sample": 20.0, "score": 8.0}
"""Until a process has a model, beside what its imports take: assumed, of 15, 5, 5 and 1 GB."""
FETCHING = 3.0
"""An adapter of 297 MB at 100 MB/s."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """The time that things take; picklable, as each process has its own."""

    scale: float
    """Simulated seconds in a second."""
    seed: int = 0
    spread: float = 0.15
    """Standard deviation of the logarithm."""
    stragglers: float = 0.02
    """Part of the work that takes three times as long."""

    def work(self, kind: str, item: str) -> float:
        """Seconds of this machine's clock that an item takes, the same at each try."""
        digest = hashlib.sha256(f"{self.seed} {kind} {item}".encode()).digest()
        draws = random.Random(digest)
        # Of mean one, whatever the spread.
        factor = math.exp(draws.gauss(-(self.spread**2) / 2, self.spread))
        if draws.random() < self.stragglers:
            factor *= 3
        return SECONDS[kind] * factor / self.scale

    def loading(self, step: str) -> float:
        """Likewise until a process has the model of a step."""
        return LOADING.get(step, 0.0) / self.scale

    def fetching(self) -> float:
        """Likewise of one adapter."""
        return FETCHING / self.scale
