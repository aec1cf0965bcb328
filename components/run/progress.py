"""Progress of a step: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from components.steps.step import Outcome

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

logger = logging.getLogger(__name__)

_LINE_SECONDS = 1.0
"""At most one line of success in this time; every failure has one."""


class Progress:
    """Counts outcomes of one step."""

    def __init__(self, step: str, total: int) -> None:
        self._step = step
        self._total = total
        self._count = 0
        self._told = -_LINE_SECONDS
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress as RichProgress

            self._bar = RichProgress(console=Console(stderr=True))
            self._task = self._bar.add_task(self._step, total=self._total)
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

    def advance(self, outcome: Outcome) -> None:
        """Count one outcome and say what became of it."""
        self._count += 1
        name = outcome.edit_id or outcome.video_id
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task)
        if outcome.error is not None:
            logger.warning("step=%s video=%s failed: %s", self._step, name, outcome.error)
        elif self._bar is None and self._due():
            logger.info(
                "step=%s video=%s %d/%d done in %.1f s",
                self._step,
                name,
                self._count,
                self._total,
                outcome.seconds,
            )

    def _due(self) -> bool:
        now = time.monotonic()
        if now - self._told < _LINE_SECONDS and self._count < self._total:
            return False
        self._told = now
        return True
