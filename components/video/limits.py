"""The check of a source against the limits on what reading it may cost."""

from __future__ import annotations

from components.config import VideoLimits
from components.errors import SourceError

DEFAULT_LIMITS = VideoLimits()


def check_limit(name: str, what: str, value: float, limit: float, remedy: str) -> None:
    """Raise a SourceError that names value, limit, item and remedy when value > limit."""
    if value > limit:
        raise SourceError(f"{name} has {value} {what}, but the limit is {limit}: {remedy}")
