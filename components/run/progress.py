"""Progress of a step: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time
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
    """Counts outcomes of one step."""

    def __init__(self, step: str, total: int, *, bar: bool = True) -> None:
        """Begin with nothing done.

        Args:
            step: The step's name.
            total: Its items.
            bar: Whether a terminal may show a bar; without one there are lines.
        """
        self._step = step
        self._total = total
        self._count = 0
        self._wants_bar = bar and sys.stderr.isatty()
        self._began = time.monotonic()
        self._told = -_LINE_SECONDS
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._wants_bar:
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
        log = VideoLog(logger, step=self._step, video_id=outcome.video_id, edit_id=outcome.edit_id)
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task)
        if outcome.error is not None:
            log.warning("failed: %s", outcome.error)
        elif self._bar is None and self._due():
            log.info("%d/%d done in %.1f s", self._count, self._total, outcome.seconds)

    def _due(self) -> bool:
        now = time.monotonic()
        pace = min(max((now - self._began) / _SHARE, _LINE_SECONDS), _LONGEST_SECONDS)
        if now - self._told < pace and self._count < self._total:
            return False
        self._told = now
        return True
