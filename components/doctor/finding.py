"""What one check found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from components.redact import redacted

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    topic: str
    """What it belongs to, such as ``base``."""
    check: str
    """What was looked at."""
    found: str
    level: Level = "ok"
    """``warn`` is worth a look; ``fail`` is wrong, and makes the exit code 1."""
    remedy: str = ""
    """What to do about it; empty where there is nothing to do, or ``found`` says it."""

    def document(self) -> dict[str, Any]:
        """The same as JSON values."""
        return asdict(self)


def failed(topic: str, check: str, error: Exception, remedy: str = "") -> Finding:
    """A finding of an error, whose message mostly holds the remedy."""
    text = redacted(str(error)) or type(error).__name__
    return Finding(topic, check, text, "fail", remedy)
