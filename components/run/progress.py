"""Progress of a step: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from components.log import VideoLog
from components.steps.step import Outcome

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

logger = logging.getLogger(__name__)

_LINE_SECONDS = 1.0
"""At most one line of success in this time; every failure has one."""
_LONGEST_SECONDS = 60.0
_SHARE = 60
"""Between two lines passes this part of the step's time so far: some 1 600 lines a day."""


class Progress:
    """Counts outcomes of one step, or of several at once."""

    def __init__(self, totals: Mapping[str, int], *, bar: bool = True) -> None:
        """Begin with nothing done.

        Args:
            totals: Items by step.
            bar: Whether a terminal may show bars; without them there are lines.
        """
        self._totals = totals
        self._counts: Counter[str] = Counter()
        self._wants_bar = bar and sys.stderr.isatty()
        self._began = time.monotonic()
        self._told: dict[str, float] = {}
        self._bar: RichProgress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        if self._wants_bar:
            from rich.console import Console
            from rich.progress import Progress as RichProgress

            self._bar = RichProgress(console=Console(stderr=True))
            self._tasks = {
                step: self._bar.add_task(step, total=total) for step, total in self._totals.items()
            }
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, step: str, outcome: Outcome) -> None:
        """Count one outcome and say what became of it."""
        self._counts[step] += 1
        log = VideoLog(logger, step=step, video_id=outcome.video_id, edit_id=outcome.edit_id)
        if self._bar is not None:
            self._bar.advance(self._tasks[step])
        if outcome.error is not None:
            log.warning("failed: %s", outcome.error)
        elif self._bar is None and self._due(step):
            count, total = self._counts[step], self._totals[step]
            log.info("%d/%d done in %.1f s", count, max(count, total), outcome.seconds)

    def _due(self, step: str) -> bool:
        now = time.monotonic()
        pace = min(max((now - self._began) / _SHARE, _LINE_SECONDS), _LONGEST_SECONDS)
        last = self._told.get(step, -math.inf)
        if now - last < pace and self._counts[step] < self._totals[step]:
            return False
        self._told[step] = now
        return True
