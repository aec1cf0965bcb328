"""How a job can end, whichever place it ran at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Protocol

from components.launch.job import Job

FINAL_EXITS = frozenset({2, 3})
"""Exit codes of `tav` that another try would only repeat: wrong usage, too many failed items."""


@dataclass(frozen=True, slots=True)
class End:
    """What a job came to."""

    state: Literal["succeeded", "failed", "stopped"]
    message: str = ""
    retryable: bool = False
    """Whether the job, and not its work, failed."""


class Place(Protocol):
    """Somewhere that jobs run."""

    def attempts(self, job: Job) -> dict[int, bool]:
        """The job's attempts that the place knows of, and whether each of them has ended."""

    def submit(self, job: Job, attempt: int) -> None:
        """Start an attempt; if somebody else has just done so, do nothing."""

    def follow(self, name: str) -> End:
        """Wait for an attempt's end and pass its log to standard error meanwhile."""

    def stop(self, name: str) -> bool:
        """Stop an attempt; say whether it was seen to end."""


def exit_code(message: str) -> int | None:
    """The exit code that Ray's message on a failed job names."""
    found = re.search(r"failed with exit code (-?\d+)", message)
    return int(found[1]) if found else None


def failed(message: str, code: int | None) -> End:
    """The end of a job whose program ended with ``code``, if it got to that."""
    return End("failed", message.strip(), retryable=code not in FINAL_EXITS)
