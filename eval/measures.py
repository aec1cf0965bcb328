"""What a number about an edit is called, how it is drawn, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass

SECONDS = "seconds"
"""What making an edit took; of no protocol."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One number about an edit."""

    label: str
    """Of a table's header."""
    short: str
    """Where there is little room."""
    whole: float | None = None
    """What its scale ends at (of a cosine: its usual one); none where it has no end."""
    lower_is_better: bool = False
